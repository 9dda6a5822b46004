//! The native host of an agent: the engine's thread, a task for each run, and a task that delivers its events.

mod effects;
mod handler_host;
mod handler_runtime;
mod report_queue;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openagents_blossom::native::BlobServer;
use openagents_host::native::{Durability, EngineThread, Mailbox, OpenError, Sqlite, Tickets, now};
use openagents_host::sql::SchemaError;
use openagents_host::{Keys, VerifiedEvent};
use openagents_relay::native::RelayHandle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::audit_folder::AuditFolder;
use super::mailbox::AgentMailbox;
use crate::author::agent::Jobs;
use crate::engine::{Destination, Effect, JobEngine};
use crate::host_port::HandlerHost;
use crate::runner::{self, Services, StateCache, StateError};
use crate::settings::AgentSettings;
use effects::Effects;
use handler_host::NativeHandlerHost;
use handler_runtime::HandlerRuntime;
use report_queue::ReportQueue;

/// What an agent needs to start.
pub(super) struct AgentConfig {
    pub(super) database: PathBuf,
    pub(super) durability: Durability,
    pub(super) keys: Keys,
    /// See the flag `--forget-memory`.
    pub(super) forget_memory: bool,
    pub(super) settings: AgentSettings,
    /// The blob server beside the agent.
    pub(super) blobs: BlobServer,
    /// The gateway's audit.
    pub(super) audit: AuditFolder,
    /// The address on which the agent's own relay listens.
    pub(super) own_relay: SocketAddr,
}

/// Why the agent could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(
        "{0}. While the agent is stopped, its command `state` shows and repairs the stored state: `state show`, `state set FIELD JSON`, `state reset`"
    )]
    State(#[from] StateError),
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// An event to be delivered to a relay.
struct QueuedDelivery {
    entry: u64,
    event: VerifiedEvent,
    to: Destination,
}

/// A running agent.
pub(super) struct AgentShell {
    thread: EngineThread,
    pub(super) mailbox: AgentMailbox,
    host: Arc<NativeHandlerHost>,
    answers: Option<mpsc::UnboundedReceiver<QueuedDelivery>>,
    deliverer: Option<JoinHandle<()>>,
    running: watch::Receiver<usize>,
    _handlers: HandlerRuntime,
}

impl AgentShell {
    /// Opens the agent's database and starts its engine. Queued jobs start at once.
    pub(super) async fn start<A: Jobs>(config: AgentConfig) -> Result<Self, StartError> {
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let (running_sender, running) = watch::channel(0);
        let (reports, waiting_reports) = ReportQueue::channel();
        let handlers = HandlerRuntime::start()?;
        let cache = Arc::new(StateCache::<A>::default());
        let profile = config.settings.profile::<A>(config.keys.public_key());
        let wallet = config.settings.wallet.wallet();
        let options = config.settings.options(&profile, wallet.as_deref());
        let open = {
            let (cache, keys) = (Arc::clone(&cache), config.keys.clone());
            let (database, durability) = (config.database.clone(), config.durability);
            move || -> Result<JobEngine<Sqlite>, StartError> {
                let sql = Sqlite::open(&database, durability)?;
                let engine = JobEngine::open(sql, keys, runner::agent_spec::<A>(), options, now())?;
                // Report an unreadable state now, not at the first job.
                cache.shared(&engine.state())?;
                Ok(engine)
            }
        };
        let (taken, answered, responded) = (Tickets::default(), Tickets::default(), Tickets::default());
        let host = Arc::new(NativeHandlerHost::new(
            config.keys,
            &config.settings,
            config.own_relay,
            config.blobs,
            config.audit,
            reports.clone(),
        ));
        let handler_host: Arc<dyn HandlerHost> = Arc::clone(&host) as _;
        let mut effects = Effects {
            runtime: tokio::runtime::Handle::current(),
            handlers: handlers.handle(),
            services: Services::new(cache, handler_host, wallet),
            taken: taken.clone(),
            answered: answered.clone(),
            responded: responded.clone(),
            answers: answer_sender,
            running: running_sender,
            reports: reports.clone(),
        };
        let (inputs, thread) =
            EngineThread::start("agent", config.forget_memory, open, move |wanted: &mut Vec<Effect>| {
                wanted.drain(..).for_each(|effect| effects.apply(effect));
            })
            .await?;
        tokio::spawn(reports.pass_on(waiting_reports, inputs.clone()));
        let mailbox = AgentMailbox { engine: Mailbox::new(inputs), taken, answered, responded };
        host.ask_through(mailbox.clone());
        Ok(Self {
            thread,
            mailbox,
            host,
            answers: Some(answers),
            deliverer: None,
            running,
            _handlers: handlers,
        })
    }

    /// Sets the agent's own relay, to which answers are delivered and which handlers read.
    pub(super) fn answer_through(&mut self, relay: RelayHandle) {
        self.host.read_from(relay.clone());
        if let Some(answers) = self.answers.take() {
            let host: Arc<dyn HandlerHost> = Arc::clone(&self.host) as _;
            let deliver = effects::deliver(answers, relay, host, self.mailbox.engine.inputs().clone());
            self.deliverer = Some(tokio::spawn(deliver));
        }
    }

    /// Completes when the agent has ended without being stopped.
    pub(super) async fn ended(&mut self) {
        self.thread.ended().await;
    }

    /// Waits until no handler is running, at most for `limit`. Returns whether none is.
    pub(super) async fn finish_running(&mut self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, self.running.wait_for(|running| *running == 0)).await, Ok(Ok(_)))
    }

    /// Ends the engine's thread after it has handled what is queued, and delivers the remaining answers; the relay
    /// must still be running.
    pub(super) async fn stop(self, limit: Duration) {
        self.thread.stop().await;
        if let Some(deliverer) = self.deliverer {
            let _ = tokio::time::timeout(limit, deliverer).await;
        }
    }
}
