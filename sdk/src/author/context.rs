//! `AgentContext`: what every run can use: memory, the agent's relay, publishing events, hiring agents.

mod blobs;
mod clients;
mod hire;
mod relay;
mod schedule;

pub use blobs::Blobs;
pub use relay::ExternalRelay;
pub use schedule::ScheduledRun;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use openagents_host::{Event, PublicKey, Timestamp, UnsignedEvent, VerifiedEvent};
use openagents_relay::Filter;

use crate::clock;
use crate::declared_variables::Secret;
use crate::engine::{Changes, Destination, EventToPublish, JobFailure, Publication};
use crate::error::{JobError, UNTOLD};
use crate::host_port::HandlerHost;
use clients::Clients;

/// What a handler, schedule or hook can use: memory, the agent's relay, HTTP requests, other agents. Schedules and
/// hooks take it as their argument; a [`JobContext`](crate::JobContext) derefs to it.
///
/// Changes to [`memory`](Self::memory) and [`published`](Self::publish) events are committed together with the
/// outcome of the run, and dropped if the run fails. Cheap to clone.
#[derive(Clone)]
pub struct AgentContext(Arc<AgentContextInner>);

struct AgentContextInner {
    host: Arc<dyn HandlerHost>,
    began: Timestamp,
    failure: Option<JobFailure>,
    changes: Mutex<Changes>,
    clients: Clients,
    /// The names of the functions with `#[schedule(once)]`.
    one_off_schedules: OnceLock<Vec<&'static str>>,
    /// The payload of a scheduled run, as JSON.
    payload: OnceLock<String>,
}

impl AgentContext {
    pub(crate) fn new(host: Arc<dyn HandlerHost>, began: Timestamp, failure: Option<JobFailure>) -> Self {
        let (changes, clients) = (Mutex::default(), Clients::default());
        let (one_off_schedules, payload) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(AgentContextInner {
            host,
            began,
            failure,
            changes,
            clients,
            one_off_schedules,
            payload,
        }))
    }

    /// The agent's public key.
    #[must_use]
    pub fn agent(&self) -> PublicKey {
        self.0.host.keys().public_key()
    }

    /// When this run started.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.0.began
    }

    /// The job that failed. Only set in `#[on_error]`.
    #[must_use]
    pub fn failure(&self) -> Option<&JobFailure> {
        self.0.failure.as_ref()
    }

    /// The value of a variable that the agent declares: `#[agent(…, variables("LLM_MODEL" = "small"))]`. It comes from
    /// the environment or `.dev.vars` natively and from the `[vars]` of a Worker, or is the declared default.
    ///
    /// # Errors
    /// A final error, when the agent does not declare it.
    pub fn variable(&self, name: &str) -> Result<String, JobError> {
        let value = self.0.host.variables().variable(name).map(str::to_owned);
        value.map_err(|error| JobError::failed(UNTOLD).caused_by(error))
    }

    /// The value of a secret that the agent declares: `#[agent(…, secrets("LLM_API_KEY"))]`. It comes from the
    /// environment or `.dev.vars` natively, and from the secrets of a Worker.
    ///
    /// # Errors
    /// A final error, when the agent does not declare it.
    pub fn secret(&self, name: &str) -> Result<Secret, JobError> {
        let value = self.0.host.variables().secret(name).cloned();
        value.map_err(|error| JobError::failed(UNTOLD).caused_by(error))
    }

    /// Publishes an event on the agent's own relay once this run has succeeded, signed with the agent's key unless it is
    /// signed already. For other relays, see [`relay`](Self::relay).
    pub fn publish(&self, event: impl Into<EventToPublish>) {
        self.changes().events.push(Publication { event: event.into(), to: Destination::Own });
    }

    /// Signs an event with the agent's key, for example to send it by HTTP. It is published only if it is passed to
    /// [`publish`](Self::publish).
    #[must_use]
    pub fn sign(&self, event: UnsignedEvent) -> VerifiedEvent {
        event.sign(self.0.host.keys(), self.0.host.now())
    }

    /// The events on the agent's own relay that match one of the filters, newest first.
    ///
    /// # Errors
    /// When the relay cannot be reached or refuses the filters.
    pub async fn events(&self, filters: impl IntoIterator<Item = Filter>) -> Result<Vec<Event>, JobError> {
        self.0.host.events(filters.into_iter().collect()).await
    }

    /// Waits, on either host. The wait counts towards the handler's `timeout`.
    pub async fn sleep(&self, duration: Duration) {
        clock::sleep(duration).await;
    }

    /// Sets the names of the functions that this run can schedule.
    pub(crate) fn may_schedule(&self, functions: Vec<&'static str>) {
        let _ = self.0.one_off_schedules.set(functions);
    }

    /// Sets the payload of this run.
    pub(crate) fn carry(&self, payload: String) {
        let _ = self.0.payload.set(payload);
    }

    pub(crate) fn host(&self) -> &Arc<dyn HandlerHost> {
        &self.0.host
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.0.clients
    }

    pub(crate) fn changes(&self) -> MutexGuard<'_, Changes> {
        self.0.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An argument that a schedule or hook can take.
#[diagnostic::on_unimplemented(
    message = "a schedule or hook cannot take `{Self}`",
    label = "not an `AgentContext`",
    note = "schedules and hooks take `AgentContext`, or nothing; what comes from a request is for `#[job]` handlers"
)]
pub trait FromAgent: Sized {
    /// Makes the argument from the run's context.
    fn from_agent(context: &AgentContext) -> Self;
}

impl FromAgent for AgentContext {
    fn from_agent(context: &AgentContext) -> Self {
        context.clone()
    }
}

impl std::fmt::Debug for AgentContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentContext").field("began", &self.0.began).finish_non_exhaustive()
    }
}
