//! The agent's shell: a thread for its engine, a task for every run, and one for its answers' way to the relay.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesOrdered, StreamExt};
use openagents_host::native::{Durability, EngineThread, Inputs, OpenError, Sqlite, now};
use openagents_host::sql::SchemaError;
use openagents_host::{Keys, VerifiedEvent};
use openagents_relay::Outcome as RelayOutcome;
use openagents_relay::native::RelayHandle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::agent::Jobs;
use crate::engine::{Admission, Delivery, Effect, Input, JobEngine};
use crate::runner::{self, StateCache, StateError};

/// How many answers are on their way to the relay at once.
const DELIVERIES: usize = 64;

/// What an agent's shell needs.
pub(super) struct AgentConfig {
    pub(super) database: PathBuf,
    pub(super) durability: Durability,
    pub(super) keys: Keys,
    /// See the `--forget-memory` flag.
    pub(super) forget_memory: bool,
}

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// The request could not be put on record.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct TakeError(String);

/// A running agent, before and beside its relay.
pub(super) struct AgentShell {
    thread: EngineThread,
    pub(super) mailbox: Mailbox,
    answers: Option<mpsc::UnboundedReceiver<(u64, VerifiedEvent)>>,
    deliverer: Option<JoinHandle<()>>,
    running: watch::Receiver<usize>,
}

/// The way by which requests come to the agent. Clones lead to the same one.
#[derive(Clone)]
pub(super) struct Mailbox {
    inputs: Inputs<Input>,
    tickets: Tickets,
    last_ticket: Arc<AtomicU64>,
}

type Tickets = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Result<Admission, TakeError>>>>>;

impl Mailbox {
    /// Gives the agent a request; returns when it is on record.
    pub(super) async fn take(&self, event: VerifiedEvent) -> Result<Admission, TakeError> {
        let stopped = || TakeError("the agent has stopped".to_owned());
        let ticket = self.last_ticket.fetch_add(1, Ordering::Relaxed);
        let (sender, taken) = oneshot::channel();
        let tickets = || self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets().insert(ticket, sender);
        if self.inputs.send(Input::Request { event, ticket }).await.is_err() {
            tickets().remove(&ticket);
            return Err(stopped());
        }
        taken.await.map_err(|_| stopped())?
    }
}

impl AgentShell {
    /// Opens the agent's database and starts its engine. Jobs that were queued begin at once.
    pub(super) async fn start<A: Jobs>(config: AgentConfig) -> Result<Self, StartError> {
        let tickets = Tickets::default();
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let (running_sender, running) = watch::channel(0);
        let (finished_sender, finished) = mpsc::unbounded_channel();
        let cache = Arc::new(StateCache::<A>::default());
        let open = {
            let cache = Arc::clone(&cache);
            move || -> Result<JobEngine<Sqlite>, StartError> {
                let sql = Sqlite::open(&config.database, config.durability)?;
                let engine = JobEngine::open(sql, config.keys.clone(), runner::handler_facts::<A>(), now())?;
                // Better now than at the first job.
                cache.shared(&engine.state())?;
                Ok(engine)
            }
        };
        let shell = Effects {
            runtime: tokio::runtime::Handle::current(),
            cache,
            tickets: Arc::clone(&tickets),
            answers: answer_sender,
            running: running_sender.clone(),
            finished: finished_sender,
        };
        let (inputs, thread) =
            EngineThread::start("agent", config.forget_memory, open, move |effects: &mut Vec<Effect>| {
                effects.drain(..).for_each(|effect| shell.apply(effect));
            })
            .await?;
        tokio::spawn(report(finished, inputs.clone(), running_sender));
        let mailbox = Mailbox { inputs, tickets, last_ticket: Arc::default() };
        Ok(Self { thread, mailbox, answers: Some(answers), deliverer: None, running })
    }

    /// Delivers the agent's answers to this relay from now on.
    pub(super) fn answer_through(&mut self, relay: RelayHandle) {
        if let Some(answers) = self.answers.take() {
            self.deliverer = Some(tokio::spawn(deliver(answers, relay, self.mailbox.inputs.clone())));
        }
    }

    /// Completes when the agent has ended although nobody stopped it.
    pub(super) async fn ended(&mut self) {
        self.thread.ended().await;
    }

    /// Waits until no handler runs, but not longer than this; says whether that was reached.
    pub(super) async fn finish_running(&mut self, longest: Duration) -> bool {
        matches!(
            tokio::time::timeout(longest, self.running.wait_for(|running| *running == 0)).await,
            Ok(Ok(_))
        )
    }

    /// Ends the engine's thread when what is queued has been recorded, and delivers the answers that are left, for
    /// which the relay must still run.
    pub(super) async fn stop(self, longest: Duration) {
        self.thread.stop().await;
        if let Some(deliverer) = self.deliverer {
            let _ = tokio::time::timeout(longest, deliverer).await;
        }
    }
}

/// Carries out what the engine wants. Lives on the engine's thread.
struct Effects<A> {
    runtime: tokio::runtime::Handle,
    cache: Arc<StateCache<A>>,
    tickets: Tickets,
    answers: mpsc::UnboundedSender<(u64, VerifiedEvent)>,
    running: watch::Sender<usize>,
    finished: mpsc::UnboundedSender<Input>,
}

impl<A: Jobs> Effects<A> {
    fn apply(&self, effect: Effect) {
        match effect {
            Effect::Taken { ticket, result } => {
                let waiting = self.tickets.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
                if let Some(waiting) = waiting {
                    let _ = waiting.send(result.map_err(|error| TakeError(error.to_string())));
                }
            }
            Effect::Run { lease, handler, request, state } => {
                let (cache, finished) = (Arc::clone(&self.cache), self.finished.clone());
                tracing::debug!(job = %lease.job(), attempt = lease.attempt, "running");
                self.running.send_modify(|count| *count = count.saturating_add(1));
                self.runtime.spawn(async move {
                    let _ = finished.send(runner::run(&cache, lease, handler, *request, state).await);
                });
            }
            Effect::Publish { entry, event } => {
                let _ = self.answers.send((entry, event));
            }
            Effect::Warn(warning) => tracing::warn!("{warning}"),
        }
    }
}

/// Tells the engine how runs ended.
async fn report(
    mut finished: mpsc::UnboundedReceiver<Input>,
    inputs: Inputs<Input>,
    running: watch::Sender<usize>,
) {
    while let Some(input) = finished.recv().await {
        let _ = inputs.send(input).await;
        running.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Brings answers to the relay, in their order, and tells the engine what became of them.
async fn deliver(
    mut answers: mpsc::UnboundedReceiver<(u64, VerifiedEvent)>,
    relay: RelayHandle,
    inputs: Inputs<Input>,
) {
    let mut on_their_way = FuturesOrdered::new();
    loop {
        tokio::select! {
            Some(delivered) = on_their_way.next() => {
                // An engine that has stopped delivers again when it starts.
                let _ = inputs.send(delivered).await;
            }
            Some((entry, event)) = answers.recv(), if on_their_way.len() < DELIVERIES => {
                let relay = relay.clone();
                on_their_way.push_back(async move {
                    let delivery = match relay.publish(event).await {
                        Ok(RelayOutcome::Accepted | RelayOutcome::Duplicate) => Delivery::Accepted,
                        Ok(RelayOutcome::Refused(reason)) => Delivery::Refused(reason.to_string()),
                        Err(error) => Delivery::Unreachable(error.to_string()),
                    };
                    Input::Delivered { entry, delivery }
                });
            }
            else => return,
        }
    }
}
