//! Events on their way from the agent's object to relays.

use std::cell::RefCell;
use std::collections::VecDeque;

use openagents_host::VerifiedEvent;
use openagents_host::outgoing::Reach;
use openagents_relay::Outcome;
use worker::{Env, Result};

use super::super::{DELIVERY_TIMEOUT, MAIN_RELAY, RELAY_BINDING, within};
use super::surroundings;
use crate::engine::{Delivery, Destination, Input};
use crate::outside;

/// How many events are on their way to outside relays at once. A Worker may have six connections open.
const OUTSIDE: usize = 3;

/// Events that wait for their way, in the order they must arrive in.
#[derive(Default)]
pub(super) struct Deliveries {
    own: RefCell<VecDeque<Waiting>>,
    outside: RefCell<VecDeque<Waiting>>,
}

pub(super) struct Waiting {
    entry: u64,
    event: VerifiedEvent,
    to: Destination,
}

impl Deliveries {
    pub(super) fn push(&self, entry: u64, event: VerifiedEvent, to: Destination) {
        let lane = if to == Destination::Own { &self.own } else { &self.outside };
        lane.borrow_mut().push_back(Waiting { entry, event, to });
    }

    /// The next event for the agent's own relay; one at a time, since the order in which a customer hears of a job matters.
    pub(super) fn next_own(&self, on_their_way: usize) -> Option<Waiting> {
        if on_their_way == 0 { self.own.borrow_mut().pop_front() } else { None }
    }

    /// The next event for an outside relay.
    pub(super) fn next_outside(&self, on_their_way: usize) -> Option<Waiting> {
        if on_their_way < OUTSIDE { self.outside.borrow_mut().pop_front() } else { None }
    }
}

/// Delivers an event, and says what to tell the engine.
pub(super) async fn deliver(env: &Env, reach: Reach, waiting: Waiting) -> Input {
    let Waiting { entry, event, to } = waiting;
    let delivery = if to == Destination::Own {
        match within(DELIVERY_TIMEOUT, publish(env, &event)).await {
            Some(delivery) => delivery.unwrap_or_else(|error| Delivery::Unreachable(error.to_string())),
            None => Delivery::Unreachable("the relay's object did not answer".to_owned()),
        }
    } else {
        let own = |filters| async { surroundings::events(env, filters).await.unwrap_or_default() };
        outside::deliver(&to, &event, reach, own).await
    };
    Input::Delivered { entry, delivery }
}

/// Publishes an event through the relay's object.
async fn publish(env: &Env, event: &VerifiedEvent) -> Result<Delivery> {
    let stub = env.durable_object(RELAY_BINDING)?.get_by_name(MAIN_RELAY)?;
    Ok(match openagents_relay::worker::publish(&stub, event).await? {
        Outcome::Accepted | Outcome::Duplicate => Delivery::Accepted,
        Outcome::Refused(reason) => Delivery::Refused(reason.to_string()),
    })
}
