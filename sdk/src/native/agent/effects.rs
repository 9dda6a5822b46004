//! Schedules the engine's effects on Tokio, and delivers events to the agent's own relay.

use std::sync::Arc;

use futures_util::stream::{FuturesOrdered, StreamExt};
use openagents_host::native::{Inputs, Tickets, now};
use openagents_host::{SqlError, VerifiedEvent};
use openagents_relay::Outcome as RelayOutcome;
use openagents_relay::native::RelayHandle;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::QueuedDelivery;
use super::report_queue::ReportQueue;
use crate::author::agent::Jobs;
use crate::engine::{Delivery, Destination, Effect, Input, RequestAdmission, StateReply};
use crate::host_port::HandlerHost;
use crate::native::relays::{ExternalDelivery, PerRelayQueues};
use crate::route::RouteResponse;
use crate::runner::{EffectFuture, HostAction, Services};

/// The most answers in flight to the agent's own relay.
const MAX_DELIVERIES: usize = 64;

/// Schedules the engine's effects. Lives on the engine's thread.
pub(super) struct Effects<A> {
    pub(super) runtime: Handle,
    /// The runtime for the agent's own code.
    pub(super) handlers: Handle,
    pub(super) services: Services<A>,
    pub(super) taken: Tickets<Result<RequestAdmission, SqlError>>,
    pub(super) answered: Tickets<Result<StateReply, SqlError>>,
    pub(super) responded: Tickets<Option<RouteResponse>>,
    pub(super) answers: mpsc::UnboundedSender<QueuedDelivery>,
    pub(super) running: watch::Sender<usize>,
    /// Inputs from the tasks that carry out effects.
    pub(super) reports: ReportQueue,
}

impl<A: Jobs> Effects<A> {
    pub(super) fn apply(&mut self, effect: Effect) {
        match self.services.carry_out(now(), effect) {
            Some(HostAction::Run(run)) => self.spawn(&self.handlers, run, Some(Counted::new(&self.running))),
            Some(HostAction::Await(work)) => self.spawn(&self.runtime, work, None),
            Some(HostAction::Publish { entry, event, to }) => {
                let _ = self.answers.send(QueuedDelivery { entry, event, to });
            }
            Some(HostAction::Confirm { ticket, result }) => self.taken.redeem(ticket, result),
            Some(HostAction::Reply { ticket, answer }) => self.answered.redeem(ticket, answer),
            Some(HostAction::Respond { ticket, response }) => self.responded.redeem(ticket, response),
            Some(HostAction::Warn(warning)) => tracing::warn!("{warning}"),
            None => {}
        }
    }

    /// Spawns work and passes its result to the engine. With `counted`, it counts as a run until then.
    fn spawn(&self, runtime: &Handle, work: EffectFuture, counted: Option<Counted>) {
        let reports = self.reports.clone();
        runtime.spawn(async move {
            if let Some(input) = work.await {
                reports.send(input).await;
            }
            drop(counted);
        });
    }
}

/// Counts a run until it is dropped.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(running: &watch::Sender<usize>) -> Self {
        running.send_modify(|count| *count = count.saturating_add(1));
        Self(running.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Delivers answers to relays, in order for the agent's own, and reports each result to the engine.
pub(super) async fn deliver(
    mut answers: mpsc::UnboundedReceiver<QueuedDelivery>,
    relay: RelayHandle,
    host: Arc<dyn HandlerHost>,
    inputs: Inputs<Input>,
) {
    let mut own = FuturesOrdered::new();
    let mut queues = PerRelayQueues::new(host, inputs.clone());
    loop {
        tokio::select! {
            Some(delivered) = own.next() => {
                // An engine that has stopped delivers them again after its next start.
                let _ = inputs.send(delivered).await;
            }
            Some(QueuedDelivery { entry, event, to }) = answers.recv(), if own.len() < MAX_DELIVERIES => {
                if to == Destination::Own {
                    let relay = relay.clone();
                    own.push_back(async move {
                        Input::Delivered { entry, delivery: publish(&relay, event).await }
                    });
                } else {
                    queues.send(ExternalDelivery { entry, event, to });
                }
            }
            else => break,
        }
    }
    queues.finish().await;
}

async fn publish(relay: &RelayHandle, event: VerifiedEvent) -> Delivery {
    match relay.publish(event).await {
        Ok(RelayOutcome::Accepted | RelayOutcome::Duplicate) => Delivery::Accepted,
        Ok(RelayOutcome::Refused(reason)) => Delivery::refused(&reason),
        Err(error) => Delivery::Unreachable(error.to_string()),
    }
}
