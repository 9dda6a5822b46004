//! The agent's native shell: the engine's thread, a task for every run, and one that delivers its events.

mod effects;
mod handler_host;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::native::{Durability, EngineThread, Inputs, Mailbox, OpenError, Sqlite, Tickets, now};
use openagents_host::sql::SchemaError;
use openagents_host::{Keys, VerifiedEvent};
use openagents_relay::native::RelayHandle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::mailbox::AgentMailbox;
use crate::author::agent::Jobs;
use crate::engine::{Destination, Effect, Input, JobEngine};
use crate::host_port::HandlerHost;
use crate::payment::wallet::Wallet;
use crate::runner::{self, Services, StateCache, StateError};
use crate::settings::AgentSettings;
use effects::Effects;
use handler_host::NativeHandlerHost;

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

/// An event on its way to a relay.
struct QueuedDelivery {
    entry: u64,
    event: VerifiedEvent,
    to: Destination,
}

/// A running agent, before and beside its relay.
pub(super) struct AgentShell {
    thread: EngineThread,
    pub(super) mailbox: AgentMailbox,
    host: Arc<NativeHandlerHost>,
    answers: Option<mpsc::UnboundedReceiver<QueuedDelivery>>,
    deliverer: Option<JoinHandle<()>>,
    running: watch::Receiver<usize>,
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
                let engine = JobEngine::open(sql, keys, runner::agent_spec::<A>(), options, now())?;
                // Better now than at the first job.
                cache.shared(&engine.state())?;
                Ok(engine)
            }
        };
        let (taken, answered) = (Tickets::default(), Tickets::default());
        let host = Arc::new(NativeHandlerHost::new(
            config.keys,
            config.settings.reach,
            config.own_relay,
            report_sender.clone(),
        ));
        let handler_host: Arc<dyn HandlerHost> = Arc::clone(&host) as _;
        let mut effects = Effects {
            runtime: tokio::runtime::Handle::current(),
            services: Services::new(cache, handler_host, config.wallet),
            taken: taken.clone(),
            answered: answered.clone(),
            answers: answer_sender,
            running: running_sender,
            reports: report_sender,
        };
        let (inputs, thread) =
            EngineThread::start("agent", config.forget_memory, open, move |wanted: &mut Vec<Effect>| {
                wanted.drain(..).for_each(|effect| effects.apply(effect));
            })
            .await?;
        tokio::spawn(report(reports, inputs.clone()));
        let mailbox = AgentMailbox { engine: Mailbox::new(inputs), taken, answered };
        host.ask_through(mailbox.clone());
        Ok(Self { thread, mailbox, host, answers: Some(answers), deliverer: None, running })
    }

    /// Delivers the agent's answers to this relay from now on, and lets its handlers read there.
    pub(super) fn answer_through(&mut self, relay: RelayHandle) {
        self.host.read_from(relay.clone());
        if let Some(answers) = self.answers.take() {
            let host: Arc<dyn HandlerHost> = Arc::clone(&self.host) as _;
            let deliver = effects::deliver(answers, relay, host, self.mailbox.engine.inputs().clone());
            self.deliverer = Some(tokio::spawn(deliver));
        }
    }

    /// Completes when the agent has ended although nobody stopped it.
    pub(super) async fn ended(&mut self) {
        self.thread.ended().await;
    }

    /// Waits until no handler runs, but not longer than this; says whether that was reached.
    pub(super) async fn finish_running(&mut self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, self.running.wait_for(|running| *running == 0)).await, Ok(Ok(_)))
    }

    /// Ends the engine's thread when what is queued has been recorded, and delivers the answers that are left, for
    /// which the relay must still run.
    pub(super) async fn stop(self, limit: Duration) {
        self.thread.stop().await;
        if let Some(deliverer) = self.deliverer {
            let _ = tokio::time::timeout(limit, deliverer).await;
        }
    }
}

/// Tells the engine what runs say, and how they ended.
async fn report(mut reports: mpsc::UnboundedReceiver<Input>, inputs: Inputs<Input>) {
    while let Some(input) = reports.recv().await {
        let _ = inputs.send(input).await;
    }
}
