//! What each effect of the job engine means. The hosts only decide where and when the work is done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{AbortHandle, abortable, join};
use openagents_host::{SqlError, Timestamp, VerifiedEvent};

use super::permits::Permits;
use super::state_cache::StateCache;
use super::{quote, run};
use crate::author::agent::Jobs;
use crate::engine::{
    Destination, Effect, HoldEnd, Input, Lease, RelayPoll, RequestAdmission, RunId, StateReply,
};
use crate::host_port::HandlerHost;
use crate::payment::wallet::{Invoice, Settlement, Wallet, WalletError};
use crate::relays::SilentRelays;
use crate::route::RouteResponse;
use crate::{audit, clock, input_blobs, relays};

/// How many relays are polled at once. A Worker may have six open connections, and needs some of them for its
/// answers.
const MAX_POLLING: usize = 2;

/// How many calls of the wallet are made at once.
const MAX_WALLET_CALLS: usize = 16;

/// The work for an effect. It returns the input for the engine, or `None` if it was aborted.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) type EffectFuture = futures_util::future::BoxFuture<'static, Option<Input>>;

/// The work for an effect. It returns the input for the engine, or `None` if it was aborted.
#[cfg(target_arch = "wasm32")]
pub(crate) type EffectFuture = futures_util::future::LocalBoxFuture<'static, Option<Input>>;

/// What a host does for an effect.
#[cfg_attr(
    target_arch = "wasm32",
    expect(
        dead_code,
        reason = "an object handles one input at a time and takes its answer from the effects"
    )
)]
pub(crate) enum HostAction {
    /// Drive the run of a handler, schedule, route, hook or price function to its end, concurrently with other work. It is code
    /// of the agent, which may compute for long without an `.await`.
    Run(EffectFuture),
    /// Drive this future to its end, concurrently with other work.
    Await(EffectFuture),
    /// Deliver an event of the outbox; [`Input::Delivered`] returns the result.
    Publish { entry: u64, event: VerifiedEvent, to: Destination },
    /// Tell the caller that passed in the event with this ticket what happened to it.
    Confirm { ticket: u64, result: Result<RequestAdmission, SqlError> },
    /// Reply to the query with this ticket.
    Reply { ticket: u64, answer: Result<StateReply, SqlError> },
    /// Send the response to the HTTP request with this ticket; `None` if it had to wait for too long.
    Respond { ticket: u64, response: Option<RouteResponse> },
    /// Log a warning for the operator.
    Warn(String),
}

/// What is needed to carry out effects.
pub(crate) struct Services<A> {
    cache: Arc<StateCache<A>>,
    host: Arc<dyn HandlerHost>,
    wallet: Option<Arc<dyn Wallet>>,
    runs: ActiveRuns,
    /// Relays that look-ups skip.
    silent: SilentRelays,
    polling: Permits,
    wallet_calls: Permits,
}

impl<A: Jobs> Services<A> {
    pub(crate) fn new(
        cache: Arc<StateCache<A>>,
        host: Arc<dyn HandlerHost>,
        wallet: Option<Arc<dyn Wallet>>,
    ) -> Self {
        Self {
            cache,
            host,
            wallet,
            runs: ActiveRuns::default(),
            silent: SilentRelays::default(),
            polling: Permits::new(MAX_POLLING),
            wallet_calls: Permits::new(MAX_WALLET_CALLS),
        }
    }

    /// Makes the next run read the agent's state from the engine again, as after hibernation.
    #[cfg(all(feature = "testing", not(target_arch = "wasm32")))]
    pub(crate) fn forget_state(&mut self) {
        self.cache = Arc::default();
    }

    /// Carries out an effect as far as possible. Returns what is left for the host to do.
    pub(crate) fn carry_out(&self, now: Timestamp, effect: Effect) -> Option<HostAction> {
        let host = Arc::clone(&self.host);
        Some(match effect {
            Effect::Run { lease, task, state } => {
                let cache = Arc::clone(&self.cache);
                let work = async move { run(&cache, host, now, lease, task, state).await };
                HostAction::Run(self.runs.begin(lease, work))
            }
            Effect::Abort { lease } => {
                self.runs.abort(lease);
                return None;
            }
            Effect::Quote { job, handler, request, state } => {
                let cache = Arc::clone(&self.cache);
                // A price function is code of the agent, as a handler is.
                HostAction::Run(Box::pin(async move { Some(quote(&cache, job, handler, &request, &state)) }))
            }
            // The engine starts few at once.
            Effect::Resolve { job, wanted, relays, blobs } => {
                let silent = self.silent.clone();
                report(async move {
                    let outputs = async {
                        match wanted.as_slice() {
                            [] => Vec::new(),
                            wanted => relays::outputs(&*host, &silent, wanted, &relays).await,
                        }
                    };
                    let (events, blobs) = join(outputs, input_blobs::available(&*host, &blobs)).await;
                    Input::Resolved { job, events, blobs }
                })
            }
            Effect::Invoice { job, request } => {
                let (wallet, calls) = (self.wallet.clone(), self.wallet_calls.clone());
                report(async move {
                    let _permit = calls.acquire().await;
                    let invoice = match wallet {
                        Some(wallet) => wallet.invoice(&request).await,
                        None => Err(WalletError::NoWallet),
                    };
                    Input::Invoiced { job, invoice }
                })
            }
            Effect::Settlement { job, invoice } => {
                let (wallet, calls) = (self.wallet.clone(), self.wallet_calls.clone());
                report(async move {
                    let _permit = calls.acquire().await;
                    let settlement = match wallet {
                        Some(wallet) => wallet.settlement(&invoice).await,
                        None => Err(WalletError::NoWallet),
                    };
                    Input::Settled { job, settlement }
                })
            }
            Effect::EndHold { job, invoice, end } => {
                let (wallet, calls) = (self.wallet.clone(), self.wallet_calls.clone());
                report(async move {
                    let _permit = calls.acquire().await;
                    let result = match wallet {
                        Some(wallet) => end_hold(&*wallet, &invoice, &end).await,
                        None => Err(WalletError::NoWallet),
                    };
                    Input::HoldEnded { job, end, result }
                })
            }
            Effect::Poll { relay, since, until: rest } => {
                let polling = self.polling.clone();
                report(async move {
                    let _permit = polling.acquire().await;
                    let until = clock::now();
                    let filter = relays::RequestFilter::of::<A>(host.keys().public_key());
                    let found = relays::poll(&relay, host.reach(), host.keys(), &filter, since, rest).await;
                    let poll = found.map(|pages| RelayPoll { until, events: pages.events, rest: pages.rest });
                    Input::Polled { relay, poll }
                })
            }
            // The engine starts few at once.
            Effect::StoreAuditRecord { number, record } => report(async move {
                let stored = match host.audit_store() {
                    Ok(audit) => audit::store(audit, &record).await,
                    Err(error) => Err(error),
                };
                Input::AuditRecordStored { number, stored }
            }),
            Effect::Publish { entry, event, to } => HostAction::Publish { entry, event, to },
            Effect::Taken { ticket, result } => HostAction::Confirm { ticket, result },
            Effect::QueryReply { ticket, answer } => HostAction::Reply { ticket, answer },
            Effect::Respond { ticket, response } => HostAction::Respond { ticket, response },
            Effect::Warn(text) => HostAction::Warn(text),
        })
    }
}

/// Takes or returns a held payment. If the wallet refuses, that may have been done before, without its answer being
/// heard.
async fn end_hold(wallet: &dyn Wallet, invoice: &Invoice, end: &HoldEnd) -> Result<(), WalletError> {
    let (ended, wanted) = match end {
        HoldEnd::Take(preimage) => (wallet.settle(invoice, preimage).await, Settlement::Paid),
        HoldEnd::Return => (wallet.cancel(invoice).await, Settlement::Expired),
    };
    match ended {
        Err(error @ WalletError::Refused(_)) if wallet.settlement(invoice).await? != wanted => Err(error),
        Err(WalletError::Refused(_)) => Ok(()),
        other => other,
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn report(work: impl Future<Output = Input> + Send + 'static) -> HostAction {
    HostAction::Await(Box::pin(async { Some(work.await) }))
}

#[cfg(target_arch = "wasm32")]
fn report(work: impl Future<Output = Input> + 'static) -> HostAction {
    HostAction::Await(Box::pin(async { Some(work.await) }))
}

/// The runs in progress that can be aborted, with their attempts.
#[derive(Clone, Default)]
struct ActiveRuns(Arc<Mutex<BTreeMap<RunId, (u32, AbortHandle)>>>);

impl ActiveRuns {
    #[cfg(not(target_arch = "wasm32"))]
    fn begin(&self, lease: Lease, run: impl Future<Output = Input> + Send + 'static) -> EffectFuture {
        Box::pin(self.tracked(lease, run))
    }

    #[cfg(target_arch = "wasm32")]
    fn begin(&self, lease: Lease, run: impl Future<Output = Input> + 'static) -> EffectFuture {
        Box::pin(self.tracked(lease, run))
    }

    fn tracked<F: Future<Output = Input>>(
        &self,
        lease: Lease,
        run: F,
    ) -> impl Future<Output = Option<Input>> + use<F> {
        let (run, handle) = abortable(run);
        self.handles().insert(lease.run, (lease.attempt, handle));
        let ended = RunGuard { runs: self.clone(), lease };
        async move {
            let _ended = ended;
            run.await.ok()
        }
    }

    fn abort(&self, lease: Lease) {
        if let Some(handle) = self.remove(lease) {
            handle.abort();
        }
    }

    /// Removes the run of this lease, but not a later attempt of the same run.
    fn remove(&self, lease: Lease) -> Option<AbortHandle> {
        let mut handles = self.handles();
        let (attempt, _) = handles.get(&lease.run)?;
        if *attempt != lease.attempt {
            return None;
        }
        handles.remove(&lease.run).map(|(_, handle)| handle)
    }

    fn handles(&self) -> MutexGuard<'_, BTreeMap<RunId, (u32, AbortHandle)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a run from the list when it ends, in whatever way.
struct RunGuard {
    runs: ActiveRuns,
    lease: Lease,
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        drop(self.runs.remove(self.lease));
    }
}

#[cfg(test)]
mod tests;
