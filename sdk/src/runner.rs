//! Runs a handler: gives it the agent's state, and turns whatever happens (an output, an error, a panic, no end) into
//! one outcome.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};

use crate::agent::Jobs;
use crate::clock;
use crate::engine::{HandlerFacts, Input, Lease, Outcome, StateSnapshot};
use crate::error::JobError;
use crate::handler::{Run, Work};
use crate::job::{JobContext, JobRequest};
use crate::log;
use crate::output::Output;

/// What the engine needs to know of an agent's handlers.
pub(crate) fn handler_facts<A: Jobs>() -> Vec<HandlerFacts> {
    let facts = |handler: &crate::Handler<A>| HandlerFacts {
        declaration: handler.declaration,
        exclusive: matches!(handler.run, Run::Exclusive(_)),
    };
    A::HANDLERS.iter().map(facts).collect()
}

/// The agent's state as it was last read, so that the next handler need not read it again.
pub(crate) struct StateCache<A>(Mutex<Option<(u64, Arc<A>)>>);

impl<A> Default for StateCache<A> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

/// The stored state is not of this agent's form.
#[derive(Debug, thiserror::Error)]
#[error(
    "the stored state does not fit the agent's fields: {0}. Fields can be added and removed, but a field that is stored \
     keeps its type: give the new form another name"
)]
pub(crate) struct StateError(#[from] serde_json::Error);

impl<A: Jobs> StateCache<A> {
    /// The state for a handler that only reads it.
    pub(crate) fn shared(&self, snapshot: &StateSnapshot) -> Result<Arc<A>, StateError> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, agent)) = &*cached
            && *version == snapshot.version
        {
            return Ok(Arc::clone(agent));
        }
        let agent = Arc::new(read(snapshot)?);
        *cached = Some((snapshot.version, Arc::clone(&agent)));
        Ok(agent)
    }

    /// The state for a handler that may change it: its own copy, so that a failed run changes nothing.
    fn owned(&self, snapshot: &StateSnapshot) -> Result<A, StateError> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match cached {
            Some((version, agent)) if version == snapshot.version => {
                Arc::try_unwrap(agent).or_else(|_| read(snapshot))
            }
            _ => read(snapshot),
        }
    }

    /// Keeps what a handler left; of use only if the engine commits it under this version.
    fn keep(&self, version: u64, agent: A) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, Arc::new(agent)));
    }
}

fn read<A: Jobs>(snapshot: &StateSnapshot) -> Result<A, StateError> {
    Ok(snapshot.json.as_deref().map_or_else(|| Ok(A::default()), serde_json::from_str)?)
}

/// Runs the handler with this index for a request, and says what to tell the engine.
pub(crate) async fn run<A: Jobs>(
    cache: &StateCache<A>,
    lease: Lease,
    handler: usize,
    request: JobRequest,
    state: StateSnapshot,
) -> Input {
    let (result, state) = attempt(cache, lease, handler, request, &state).await;
    let outcome = match result {
        Ok(output) => Outcome::Done(output),
        Err(error) => {
            log::warn(format_args!("job {} failed (attempt {}): {error}", lease.job(), lease.attempt));
            Outcome::Failed { message: error.message().to_owned(), retryable: error.is_retryable() }
        }
    };
    Input::Finished { lease, outcome, state }
}

async fn attempt<A: Jobs>(
    cache: &StateCache<A>,
    lease: Lease,
    handler: usize,
    request: JobRequest,
    state: &StateSnapshot,
) -> (Result<Output, JobError>, Option<String>) {
    let Some(handler) = A::HANDLERS.get(handler) else {
        return (Err(JobError::failed("this agent has no such handler")), None);
    };
    let around = crate::context::AgentContext::new(
        std::sync::Arc::new(Nothing),
        openagents_host::Timestamp::EPOCH,
        None,
    );
    let context = JobContext::new(request, Vec::new(), lease.attempt, around);
    let timeout = handler.declaration.timeout;
    let unreadable = |error: StateError| JobError::failed("the agent cannot read its state").caused_by(error);
    match handler.run {
        Run::Shared(run) => match cache.shared(state) {
            Ok(agent) => (within(timeout, run(&agent, context)).await, None),
            Err(error) => (Err(unreadable(error)), None),
        },
        Run::Exclusive(run) => match cache.owned(state) {
            Ok(mut agent) => {
                let output = match within(timeout, run(&mut agent, context)).await {
                    Ok(output) => output,
                    Err(error) => return (Err(error), None),
                };
                match serde_json::to_string(&agent) {
                    Ok(json) => {
                        let changed = state.json.as_deref() != Some(json.as_str());
                        let version = if changed { state.version.saturating_add(1) } else { state.version };
                        cache.keep(version, agent);
                        (Ok(output), changed.then_some(json))
                    }
                    Err(error) => {
                        (Err(JobError::failed("the agent cannot store its state").caused_by(error)), None)
                    }
                }
            }
            Err(error) => (Err(unreadable(error)), None),
        },
    }
}

/// The work's outcome, if it has one in time. Work that takes too long is dropped at its next `.await`.
async fn within(timeout: Duration, work: Work<'_, Output>) -> Result<Output, JobError> {
    let work = AssertUnwindSafe(work).catch_unwind();
    match select(work, std::pin::pin!(clock::sleep(timeout))).await {
        Either::Left((Ok(result), _)) => result,
        Either::Left((Err(panic), _)) => Err(panicked(&*panic)),
        Either::Right(_) => Err(JobError::failed(format!("the agent gave up on this job after {timeout:?}"))),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> JobError {
    let message = panic.downcast_ref::<&str>().map(|message| (*message).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = message.unwrap_or_else(|| "the handler panicked".to_owned());
    JobError::failed("the agent failed to do this job").caused_by(format!("panic: {message}"))
}

#[cfg(test)]
mod tests;

struct Nothing;
#[cfg_attr(not(target_arch = "wasm32"), async_trait::async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait::async_trait(?Send))]
impl crate::surroundings::Surroundings for Nothing {
    fn keys(&self) -> &openagents_host::Keys {
        unimplemented!()
    }
    fn report(&self, _: Lease, _: crate::engine::Report) {}
    async fn inquire(&self, _: crate::engine::Inquiry) -> Result<serde_json::Value, JobError> {
        Ok(serde_json::Value::Null)
    }
    async fn events(
        &self,
        _: Vec<openagents_relay::Filter>,
    ) -> Result<Vec<openagents_host::Event>, JobError> {
        Ok(vec![])
    }
}
