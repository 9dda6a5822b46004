//! The agent's shell: a thread for its engine, a task for every run, and one for its answers' way to the relay.

mod effects;
mod surroundings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openagents_host::native::{Durability, EngineThread, Inputs, OpenError, Sqlite, now};
use openagents_host::sql::SchemaError;
use openagents_host::{Keys, SqlError, VerifiedEvent};
use openagents_relay::native::RelayHandle;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::agent::Jobs;
use crate::engine::{Admission, Destination, Effect, Input, Inquiry, JobEngine};
use crate::runner::{self, StateCache, StateError};
use crate::settings::AgentSettings;
use crate::surroundings::Surroundings;
use crate::wallet::Wallet;
use effects::Effects;
use surroundings::NativeSurroundings;

/// What an agent's shell needs.
pub(super) struct AgentConfig {
    pub(super) database: PathBuf,
    pub(super) durability: Durability,
    pub(super) keys: Keys,
    /// See the `--forget-memory` flag.
    pub(super) forget_memory: bool,
    /// What the agent is paid through.
    pub(super) wallet: Option<Arc<dyn Wallet>>,
    pub(super) settings: AgentSettings,
    /// Where the agent's own relay listens.
    pub(super) own_relay: SocketAddr,
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

/// The agent has ended, or its database failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct AgentError(String);

impl AgentError {
    fn stopped() -> Self {
        Self("the agent has stopped".to_owned())
    }
}

/// An event on its way to a relay.
struct Answer {
    entry: u64,
    event: VerifiedEvent,
    to: Destination,
}

/// A running agent, before and beside its relay.
pub(super) struct AgentShell {
    thread: EngineThread,
    pub(super) mailbox: Mailbox,
    surroundings: Arc<NativeSurroundings>,
    answers: Option<mpsc::UnboundedReceiver<Answer>>,
    deliverer: Option<JoinHandle<()>>,
    running: watch::Receiver<usize>,
}

/// The way by which requests and questions come to the agent. Clones lead to the same one.
#[derive(Clone)]
pub(crate) struct Mailbox {
    inputs: Inputs<Input>,
    taken: Tickets<Result<Admission, SqlError>>,
    answered: Tickets<Result<Value, String>>,
    last_ticket: Arc<AtomicU64>,
}

/// Who waits for an effect with a ticket.
struct Tickets<T>(Arc<Mutex<BTreeMap<u64, oneshot::Sender<T>>>>);

impl<T> Clone for Tickets<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Tickets<T> {
    fn wait(&self, ticket: u64) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, sender);
        receiver
    }

    fn redeem(&self, ticket: u64, value: T) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
        if let Some(waiting) = waiting {
            let _ = waiting.send(value);
        }
    }

    fn cancel(&self, ticket: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
    }
}

impl Mailbox {
    /// Gives the agent an event from its own relay, or from the outside relay `source`; returns when it is on record.
    pub(super) async fn take(
        &self,
        event: VerifiedEvent,
        source: Option<String>,
    ) -> Result<Admission, AgentError> {
        let ticket = self.next_ticket();
        let taken = self.taken.wait(ticket);
        if self.inputs.send(Input::Request { event, source, ticket }).await.is_err() {
            self.taken.cancel(ticket);
            return Err(AgentError::stopped());
        }
        let admission = taken.await.map_err(|_| AgentError::stopped())?;
        admission.map_err(|error| AgentError(error.to_string()))
    }

    /// Asks the agent's database.
    pub(super) async fn inquire(&self, inquiry: Inquiry) -> Result<Value, AgentError> {
        let ticket = self.next_ticket();
        let answered = self.answered.wait(ticket);
        if self.inputs.send(Input::Asked { inquiry, ticket }).await.is_err() {
            self.answered.cancel(ticket);
            return Err(AgentError::stopped());
        }
        answered.await.map_err(|_| AgentError::stopped())?.map_err(AgentError)
    }

    fn next_ticket(&self) -> u64 {
        self.last_ticket.fetch_add(1, Ordering::Relaxed)
    }
}

impl AgentShell {
    /// Opens the agent's database and starts its engine. Jobs that were queued begin at once.
    pub(super) async fn start<A: Jobs>(config: AgentConfig) -> Result<Self, StartError> {
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let (running_sender, running) = watch::channel(0);
        let (report_sender, reports) = mpsc::unbounded_channel();
        let cache = Arc::new(StateCache::<A>::default());
        let profile = config.settings.profile::<A>(config.keys.public_key());
        let options = config.settings.options(&profile, config.wallet.is_some());
        let open = {
            let (cache, keys) = (Arc::clone(&cache), config.keys.clone());
            let (database, durability) = (config.database.clone(), config.durability);
            move || -> Result<JobEngine<Sqlite>, StartError> {
                let sql = Sqlite::open(&database, durability)?;
                let engine = JobEngine::open(sql, keys, runner::agent_facts::<A>(), options, now())?;
                // Better now than at the first job.
                cache.shared(&engine.state())?;
                Ok(engine)
            }
        };
        let (taken, answered) = (Tickets::default(), Tickets::default());
        let surroundings = Arc::new(NativeSurroundings::new(
            config.keys,
            config.settings.reach,
            config.own_relay,
            report_sender.clone(),
        ));
        let mut shell = Effects {
            runtime: tokio::runtime::Handle::current(),
            cache,
            surroundings: Arc::clone(&surroundings),
            wallet: config.wallet,
            taken: taken.clone(),
            answered: answered.clone(),
            answers: answer_sender,
            running: running_sender,
            reports: report_sender,
            resolving: Arc::new(tokio::sync::Semaphore::new(effects::RESOLVING)),
            runs: BTreeMap::new(),
        };
        let (inputs, thread) =
            EngineThread::start("agent", config.forget_memory, open, move |effects: &mut Vec<Effect>| {
                effects.drain(..).for_each(|effect| shell.apply(effect));
            })
            .await?;
        tokio::spawn(report(reports, inputs.clone()));
        let mailbox = Mailbox { inputs, taken, answered, last_ticket: Arc::default() };
        surroundings.ask_through(mailbox.clone());
        Ok(Self { thread, mailbox, surroundings, answers: Some(answers), deliverer: None, running })
    }

    /// Delivers the agent's answers to this relay from now on, and lets its handlers read there.
    pub(super) fn answer_through(&mut self, relay: RelayHandle) {
        self.surroundings.read_from(relay.clone());
        if let Some(answers) = self.answers.take() {
            let surroundings: Arc<dyn Surroundings> = Arc::clone(&self.surroundings) as _;
            let deliver = effects::deliver(answers, relay, surroundings, self.mailbox.inputs.clone());
            self.deliverer = Some(tokio::spawn(deliver));
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

/// Tells the engine what runs say, and how they ended.
async fn report(mut reports: mpsc::UnboundedReceiver<Input>, inputs: Inputs<Input>) {
    while let Some(input) = reports.recv().await {
        let _ = inputs.send(input).await;
    }
}
