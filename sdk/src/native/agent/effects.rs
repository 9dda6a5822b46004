//! Carries out the effects of the job engine, on its thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{FuturesOrdered, StreamExt};
use openagents_host::native::{Inputs, now};
use openagents_host::{SqlError, VerifiedEvent};
use openagents_relay::Outcome as RelayOutcome;
use openagents_relay::native::RelayHandle;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;

use super::QueuedDelivery;
use super::handler_host::NativeHandlerHost;
use crate::author::agent::Jobs;
use crate::engine::{Delivery, Destination, Effect, Input, Lease, RequestAdmission, RunId};
use crate::host_port::HandlerHost;
use crate::native::mailbox::Tickets;
use crate::native::relays::{ExternalDelivery, PerRelayQueues};
use crate::payment::wallet::{Settlement, Wallet};
use crate::relays;
use crate::runner::{self, StateCache};

/// How many answers are on their way to the agent's own relay at once.
const MAX_DELIVERIES: usize = 64;

/// How many jobs' inputs are looked for at once: each may take some megabytes and ask several relays.
pub(super) const MAX_RESOLVING: usize = 8;

/// Carries out what the engine wants. Lives on the engine's thread.
pub(super) struct Effects<A> {
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) cache: Arc<StateCache<A>>,
    pub(super) host: Arc<NativeHandlerHost>,
    pub(super) wallet: Option<Arc<dyn Wallet>>,
    pub(super) taken: Tickets<Result<RequestAdmission, SqlError>>,
    pub(super) answered: Tickets<Result<Value, String>>,
    pub(super) answers: mpsc::UnboundedSender<QueuedDelivery>,
    pub(super) running: watch::Sender<usize>,
    /// What the engine is told by those who work for it.
    pub(super) reports: mpsc::UnboundedSender<Input>,
    /// How many jobs' inputs are looked for at once.
    pub(super) resolving: Arc<Semaphore>,
    /// The runs that can still be ended early.
    pub(super) runs: BTreeMap<RunId, (u32, AbortHandle)>,
}

impl<A: Jobs> Effects<A> {
    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Taken { ticket, result } => self.taken.redeem(ticket, result),
            Effect::QueryReply { ticket, answer } => self.answered.redeem(ticket, answer),
            Effect::Run { lease, task, state } => {
                tracing::debug!(?lease, "running");
                let host: Arc<dyn HandlerHost> = Arc::clone(&self.host) as _;
                let (cache, reports) = (Arc::clone(&self.cache), self.reports.clone());
                let counted = Counted::new(&self.running);
                let run = self.runtime.spawn(async move {
                    let ended = runner::run(&cache, host, now(), lease, task, state).await;
                    let _ = reports.send(ended);
                    drop(counted);
                });
                self.runs.retain(|_, (_, run)| !run.is_finished());
                self.runs.insert(lease.run, (lease.attempt, run.abort_handle()));
            }
            Effect::Abort { lease: Lease { run, attempt } } => {
                if let Some((_, running)) = self.runs.get(&run).filter(|(of, _)| *of == attempt) {
                    running.abort();
                }
            }
            Effect::Quote { job, handler, request, state } => {
                let cache = Arc::clone(&self.cache);
                self.report_on(async move { runner::quote(&cache, job, handler, &request, &state) });
            }
            Effect::Resolve { job, wanted } => {
                let (host, resolving) = (Arc::clone(&self.host), Arc::clone(&self.resolving));
                self.report_on(async move {
                    let _turn = resolving.acquire().await;
                    let events = relays::outputs(&*host, &wanted).await;
                    Input::Resolved { job, events }
                });
            }
            Effect::Invoice { job, request } => {
                let wallet = self.wallet.clone();
                self.report_on(async move {
                    let invoice = match wallet {
                        Some(wallet) => wallet.invoice(&request).await.map_err(|error| error.to_string()),
                        None => Err("this agent has no wallet".to_owned()),
                    };
                    Input::Invoiced { job, invoice }
                });
            }
            Effect::Settlement { job, invoice } => {
                let (wallet, reports) = (self.wallet.clone(), self.reports.clone());
                self.runtime.spawn(async move {
                    let settlement = match wallet {
                        Some(wallet) => wallet.settlement(&invoice).await,
                        None => Ok(Settlement::Pending),
                    };
                    match settlement {
                        Ok(settlement) => drop(reports.send(Input::Settled { job, settlement })),
                        // Not to know is not the same as not to be paid: the engine asks again.
                        Err(error) => {
                            tracing::warn!(%job, %error, "the wallet does not say whether a job is paid");
                        }
                    }
                });
            }
            Effect::Publish { entry, event, to } => {
                let _ = self.answers.send(QueuedDelivery { entry, event, to });
            }
            // The engine is given none to poll.
            Effect::Poll { relay, since } => {
                let reason = format!("natively relays are listened to all the time, also since {since}");
                let _ = self.reports.send(Input::Polled { relay, poll: Err(reason) });
            }
            Effect::Warn(warning) => tracing::warn!("{warning}"),
        }
    }

    /// Tells the engine what comes of this.
    fn report_on(&self, work: impl Future<Output = Input> + Send + 'static) {
        let reports = self.reports.clone();
        self.runtime.spawn(async move {
            let _ = reports.send(work.await);
        });
    }
}

/// One run among those that are going on, until it is dropped.
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

/// Brings answers to their relays, in their order for the agent's own, and tells the engine what became of them.
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
                // An engine that has stopped delivers again when it starts.
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
        Ok(RelayOutcome::Refused(reason)) => Delivery::Refused(reason.to_string()),
        Err(error) => Delivery::Unreachable(error.to_string()),
    }
}
