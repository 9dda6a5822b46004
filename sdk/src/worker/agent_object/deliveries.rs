//! Deliveries from the agent's object to relays.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use openagents_host::net::Reach;
use openagents_host::port::call_batch::take_batch;
use openagents_host::{Keys, VerifiedEvent, timeout};
use openagents_relay::Outcome;
use worker::{Env, Result};

use super::handler_host;
use crate::engine::{Delivery, DeliveryLimits, Destination, Input};
use crate::relays::{self, RelayConnection};
use crate::worker::{DELIVERY_TIMEOUT, calls};

/// The most external relays connected at the same time.
const OUTSIDE: usize = DeliveryLimits::WORKER.external;

/// Events that wait for delivery, in order.
pub(super) struct Deliveries {
    reach: Reach,
    keys: Keys,
    own: RefCell<VecDeque<PendingDelivery>>,
    external: RefCell<VecDeque<PendingDelivery>>,
    /// Destinations with an event in flight; further events wait, so that the order is kept.
    busy: RefCell<BTreeSet<Destination>>,
    /// Open connections for later events, by relay.
    connections: RefCell<BTreeMap<String, RelayConnection>>,
}

pub(super) struct PendingDelivery {
    entry: u64,
    event: VerifiedEvent,
    to: Destination,
}

impl Deliveries {
    pub(super) fn new(reach: Reach, keys: Keys) -> Self {
        Self {
            reach,
            keys,
            own: RefCell::default(),
            external: RefCell::default(),
            busy: RefCell::default(),
            connections: RefCell::default(),
        }
    }

    pub(super) fn push(&self, entry: u64, event: VerifiedEvent, to: Destination) {
        let queue = if to == Destination::Own { &self.own } else { &self.external };
        queue.borrow_mut().push_back(PendingDelivery { entry, event, to });
    }

    /// The next events for the agent's own relay, if none are in flight: customers must get the events of a job in
    /// order.
    pub(super) fn next_own(&self, on_their_way: usize) -> Option<Vec<PendingDelivery>> {
        if on_their_way > 0 {
            return None;
        }
        let batch = take_batch(&mut self.own.borrow_mut(), |waiting| waiting.event.json().len());
        (!batch.is_empty()).then_some(batch)
    }

    /// The next event for an external relay without an event in flight, for
    /// [`deliver_external`](Self::deliver_external).
    pub(super) fn next_external(&self, on_their_way: usize) -> Option<PendingDelivery> {
        if on_their_way >= OUTSIDE {
            return None;
        }
        let mut busy = self.busy.borrow_mut();
        let mut external = self.external.borrow_mut();
        let next = external.iter().position(|waiting| !busy.contains(&waiting.to))?;
        let next = external.remove(next)?;
        busy.insert(next.to.clone());
        Some(next)
    }

    /// Delivers an event to an external relay, and returns the input for the engine.
    pub(super) async fn deliver_external(&self, env: &Env, waiting: PendingDelivery) -> Input {
        let PendingDelivery { entry, event, to } = waiting;
        let delivery = match &to {
            Destination::Relay(url) => {
                let mut connection = self.connection(url).await;
                let delivery = connection.publish(&event).await;
                self.connections.borrow_mut().insert(url.clone(), connection);
                delivery
            }
            Destination::ReadBy { customer, source } => {
                let own = |filters| async { handler_host::events(env, filters).await.unwrap_or_default() };
                Delivery::ReadFrom(
                    relays::customer_relays(*customer, source, self.reach, &self.keys, own).await,
                )
            }
            Destination::Inbox { receiver } => {
                let own = |filters| async { handler_host::events(env, filters).await.unwrap_or_default() };
                Delivery::ReadFrom(relays::inbox_relays(*receiver, own).await)
            }
            // Not an external relay.
            Destination::Own => Delivery::Unreachable("this is for the agent's own relay".to_owned()),
        };
        self.busy.borrow_mut().remove(&to);
        Input::Delivered { entry, delivery }
    }

    /// The open connection to a relay, or a new one in place of another.
    async fn connection(&self, url: &str) -> RelayConnection {
        let (kept, other) = {
            let mut connections = self.connections.borrow_mut();
            let kept = connections.remove(url);
            let is_full = connections.len().saturating_add(self.busy.borrow().len()) > OUTSIDE;
            (kept, if is_full { connections.pop_first() } else { None })
        };
        if let Some((_, other)) = other {
            other.close().await;
        }
        kept.unwrap_or_else(|| RelayConnection::to(url.to_owned(), self.reach, self.keys.clone()))
    }

    /// Closes the open connections.
    pub(super) async fn hang_up(&self) {
        let connections = self.connections.take();
        futures_util::future::join_all(connections.into_values().map(RelayConnection::close)).await;
    }
}

/// Delivers events to the agent's own relay, and returns one input for the engine for each. If the call fails, all are
/// delivered again: the relay knows those that it has.
pub(super) async fn deliver(env: &Env, batch: Vec<PendingDelivery>) -> Vec<Input> {
    let events: Vec<&VerifiedEvent> = batch.iter().map(|waiting| &waiting.event).collect();
    let deliveries = match timeout(DELIVERY_TIMEOUT, publish(env, &events)).await {
        Some(Ok(deliveries)) => deliveries,
        failed => {
            let reason = failed.and_then(Result::err).map(|error| error.to_string());
            let reason = reason.unwrap_or_else(|| "the relay's object did not answer".to_owned());
            vec![Delivery::Unreachable(reason); batch.len()]
        }
    };
    let ended = batch.into_iter().zip(deliveries);
    ended.map(|(waiting, delivery)| Input::Delivered { entry: waiting.entry, delivery }).collect()
}

/// Publishes events through the relay's object.
async fn publish(env: &Env, events: &[&VerifiedEvent]) -> Result<Vec<Delivery>> {
    let outcomes = openagents_relay::worker::publish(&calls::relay(env)?, events).await?;
    let deliveries = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Accepted | Outcome::Duplicate => Delivery::Accepted,
        Outcome::Refused(reason) => Delivery::refused(&reason),
    });
    Ok(deliveries.collect())
}
