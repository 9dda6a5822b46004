//! Runs handlers, schedules, routes and hooks: loads the agent's state, and turns the output, error, panic or timeout into
//! one outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use openagents_host::nostr::keys::npub;
use openagents_host::{EventId, Timestamp, timeout};
use tracing::{Instrument, Span, debug, error_span, info};

use super::state_cache::{self, StateCache, StateError, Stored};
use crate::author::agent::Jobs;
use crate::author::context::AgentContext;
use crate::author::direct_message::{DirectMessage, DirectMessageContext};
use crate::author::event::EventContext;
use crate::author::handler::{Handler, Run};
use crate::author::job::JobContext;
use crate::author::route::RouteContext;
use crate::clock;
use crate::declaration::ScheduleRule;
use crate::engine::{
    Changes, HOOK_TIMEOUT, Hook, Input, Lease, Output, QuoteError, RunId, RunOutcome, StateSnapshot, Task,
};
use crate::error::{JobError, UNTOLD};
use crate::host_port::HandlerHost;
use crate::log;
use crate::nip90::JobRequest;

const UNREADABLE: &str = "the agent cannot read its state";
const UNSTORABLE: &str = "the agent cannot store its state";

/// What the client of a route is told of an error that was not written for customers.
const UNANSWERED: &str = "the agent failed to answer this request";

/// Does a leased run, and returns the input for the engine. What it logs says which run it is about.
pub(super) async fn run<A: Jobs>(
    cache: &StateCache<A>,
    host: Arc<dyn HandlerHost>,
    now: Timestamp,
    lease: Lease,
    task: Task,
    state: StateSnapshot,
) -> Input {
    let span = span_of::<A>(&task);
    #[cfg(not(target_arch = "wasm32"))]
    let (handler, around) = (handler_of::<A>(&task), span.clone());
    let run = run_task(cache, host, now, lease, task, state).instrument(span);
    #[cfg(not(target_arch = "wasm32"))]
    let run = super::blocking::watch(A::DECLARATION.name, handler, around, run);
    run.await
}

async fn run_task<A: Jobs>(
    cache: &StateCache<A>,
    host: Arc<dyn HandlerHost>,
    now: Timestamp,
    lease: Lease,
    task: Task,
    state: StateSnapshot,
) -> Input {
    let name = name_of::<A>(&task);
    let began = clock::now();
    debug!("began (attempt {})", lease.attempt);
    let (context, result) = match task {
        Task::Job { handler, request, outputs } => {
            let agent_context = AgentContext::new(host, now, None);
            let result = match A::HANDLERS.get(handler) {
                Some(handler) => {
                    let context = JobContext::new(*request, outputs, lease.attempt, agent_context.clone());
                    let timeout = handler.declaration.timeout;
                    attempt(cache, &state, &agent_context, timeout, &handler.run, context).await
                }
                None => Err(JobError::failed("this agent has no handler for this job")),
            };
            (agent_context, result)
        }
        Task::Schedule(index) => {
            let agent_context = AgentContext::new(host, now, None);
            let result = run_schedule(cache, &state, &agent_context, index).await;
            (agent_context, result.map(|()| Output::default()))
        }
        Task::Scheduled { schedule, payload } => {
            let agent_context = AgentContext::new(host, now, None);
            agent_context.carry(payload);
            let result = run_schedule(cache, &state, &agent_context, schedule).await;
            (agent_context, result.map(|()| Output::default()))
        }
        Task::Event { handler, event } => {
            let agent_context = AgentContext::new(host, now, None);
            let result = match A::EVENTS.get(handler) {
                Some(handler) => {
                    let context = EventContext::new(event, agent_context.clone());
                    let timeout = handler.declaration.timeout;
                    attempt(cache, &state, &agent_context, timeout, &handler.run, context).await
                }
                None => Ok(()),
            };
            (agent_context, result.map(|()| Output::default()))
        }
        Task::DirectMessage(message) => {
            let agent_context = AgentContext::new(host, now, None);
            let result = match A::DIRECT_MESSAGE {
                Some(handler) => {
                    let context =
                        DirectMessageContext::new(DirectMessage::new(message), agent_context.clone());
                    let timeout = handler.declaration.timeout;
                    attempt(cache, &state, &agent_context, timeout, &handler.run, context).await
                }
                None => Ok(None),
            };
            let result = result.map(|reply| {
                agent_context.changes().reply = reply;
                Output::default()
            });
            (agent_context, result)
        }
        Task::Route { route, request } => {
            let agent_context = AgentContext::new(host, now, None);
            let result = match A::ROUTES.get(route) {
                Some(route) => {
                    let context = RouteContext::new(request, agent_context.clone());
                    let timeout = route.declaration.timeout;
                    attempt(cache, &state, &agent_context, timeout, &route.run, context).await
                }
                None => Err(JobError::failed("this agent has no such route")),
            };
            let result = result.map(|response| {
                agent_context.changes().response = Some(Box::new(response));
                Output::default()
            });
            (agent_context, result)
        }
        Task::Hook(hook, failure) => {
            let agent_context = AgentContext::new(host, now, failure);
            let run = match hook {
                Hook::Create => A::HOOKS.on_create,
                Hook::Wake => A::HOOKS.on_wake,
                Hook::Sleep => A::HOOKS.on_sleep,
                Hook::Error => A::HOOKS.on_error,
            };
            let result = match run {
                Some(run) => {
                    attempt(cache, &state, &agent_context, HOOK_TIMEOUT, &run, agent_context.clone()).await
                }
                None => Ok(()),
            };
            (agent_context, result.map(|()| Output::default()))
        }
    };
    match result {
        Ok(output) => {
            info!("done in {} ms", began.until(clock::now()).as_millis());
            let changes = std::mem::take(&mut *context.changes());
            Input::Finished { lease, outcome: RunOutcome::Done(output), changes }
        }
        Err(error) => {
            log::warn(format_args!("{name} failed (attempt {}): {error}", lease.attempt));
            let message = match (error.message(), lease.run) {
                (UNTOLD, RunId::Route(_)) => UNANSWERED,
                (message, _) => message,
            };
            let outcome = RunOutcome::Failed {
                message: message.to_owned(),
                retryable: error.is_retryable(),
                pause: error.pause(),
            };
            Input::Finished { lease, outcome, changes: Changes::default() }
        }
    }
}

/// Runs a schedule, which is nothing to do if this release has it no more.
async fn run_schedule<A: Jobs>(
    cache: &StateCache<A>,
    state: &StateSnapshot,
    context: &AgentContext,
    index: usize,
) -> Result<(), JobError> {
    match A::SCHEDULES.get(index) {
        Some(schedule) => {
            attempt(cache, state, context, schedule.declaration.timeout, &schedule.run, context.clone()).await
        }
        None => Ok(()),
    }
}

/// How many characters of an id or key are logged.
const SHORT_ID: usize = 8;
const SHORT_NPUB: usize = 12;

/// The span around a run. It is of the highest level, so that every line has it.
fn span_of<A: Jobs>(task: &Task) -> Span {
    match task {
        Task::Job { handler, request, .. } => job_span::<A>(*handler, request),
        Task::Schedule(_) | Task::Scheduled { .. } => {
            error_span!("schedule", handler = %handler_of::<A>(task))
        }
        Task::Event { event, .. } => error_span!(
            "event",
            event = %short(&event.id.to_hex(), SHORT_ID),
            author = %short(&npub(&event.pubkey), SHORT_NPUB),
            handler = %handler_of::<A>(task),
        ),
        Task::DirectMessage(_) => error_span!("direct message", handler = %handler_of::<A>(task)),
        Task::Route { .. } => error_span!("route", handler = %handler_of::<A>(task)),
        Task::Hook(..) => error_span!("hook", handler = %handler_of::<A>(task)),
    }
}

/// The name of the handler, schedule or hook, or the path of the route.
fn handler_of<A: Jobs>(task: &Task) -> &'static str {
    match task {
        Task::Job { handler, .. } => {
            A::HANDLERS.get(*handler).map_or("?", |handler| handler.declaration.name)
        }
        Task::Schedule(index) | Task::Scheduled { schedule: index, .. } => {
            A::SCHEDULES.get(*index).map_or("?", |schedule| schedule.declaration.name)
        }
        Task::Event { handler, .. } => A::EVENTS.get(*handler).map_or("?", |event| event.declaration.name),
        Task::DirectMessage(_) => A::DIRECT_MESSAGE.map_or("?", |handler| handler.declaration.name),
        Task::Route { route, .. } => A::ROUTES.get(*route).map_or("?", |route| route.declaration.path),
        Task::Hook(hook, _) => hook.as_str(),
    }
}

/// The beginning of an id or key.
fn short(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

fn job_span<A: Jobs>(handler: usize, request: &JobRequest) -> Span {
    error_span!(
        "job",
        job = %short(&request.id().to_hex(), SHORT_ID),
        kind = request.kind().0,
        customer = %short(&npub(&request.customer()), SHORT_NPUB),
        handler = %A::HANDLERS.get(handler).map_or("?", |handler| handler.declaration.name),
    )
}

fn name_of<A: Jobs>(task: &Task) -> String {
    match task {
        Task::Job { request, .. } => format!("job {}", request.id()),
        Task::Schedule(_) | Task::Scheduled { .. } => format!("schedule {}", handler_of::<A>(task)),
        Task::Event { event, .. } => format!("event {}", event.id),
        Task::DirectMessage(message) => format!("direct message {}", message.id),
        Task::Route { request, .. } => format!("{} {}", request.method(), request.path()),
        Task::Hook(..) => handler_of::<A>(task).to_owned(),
    }
}

/// Runs one function on the state. The state after an exclusive run goes into the context's changes.
async fn attempt<A: Jobs, C, T>(
    cache: &StateCache<A>,
    state: &StateSnapshot,
    agent_context: &AgentContext,
    limit: Duration,
    run: &Run<A, C, T>,
    context: C,
) -> Result<T, JobError> {
    agent_context.clients().block(blocked::<A>(run.is_exclusive()));
    agent_context.may_schedule(one_off_schedules::<A>());
    let unreadable = |error: StateError| JobError::failed(UNREADABLE).caused_by(error);
    match run {
        Run::Shared(run) => {
            let agent = cache.shared(state).map_err(unreadable)?;
            limited(limit, async { run(&agent, context).await }).await
        }
        Run::Exclusive(run) => {
            let mut agent = cache.owned(state).map_err(unreadable)?;
            let output = limited(limit, async { run(&mut agent, context).await }).await?;
            let json =
                A::STATE.write(&agent).map_err(|error| JobError::failed(UNSTORABLE).caused_by(error))?;
            let changed = state.json.as_deref() != Some(json.as_str());
            let stored = if changed {
                // JSON cannot hold every value: `NaN` becomes `null`, for example.
                state_cache::check_readable::<A>(&json)
                    .map_err(|error| JobError::failed(UNSTORABLE).caused_by(error))?;
                Stored { form: A::DECLARATION.state_version, json: Some(json.as_str().into()) }
            } else {
                Stored::of(state)
            };
            cache.keep(stored, agent);
            agent_context.changes().state = changed.then_some(json);
            Ok(output)
        }
    }
}

/// The names of the functions that handlers can schedule.
fn one_off_schedules<A: Jobs>() -> Vec<&'static str> {
    let all = A::SCHEDULES.iter().map(|schedule| schedule.declaration);
    all.filter(|declaration| declaration.rule == ScheduleRule::Once)
        .map(|declaration| declaration.name)
        .collect()
}

/// The job kinds that cannot start before this run has ended: all of them, if the run is exclusive, and those of
/// exclusive handlers otherwise.
fn blocked<A: Jobs>(exclusive: bool) -> Vec<u16> {
    let waits = |handler: &&Handler<A>| exclusive || handler.run.is_exclusive();
    A::HANDLERS.iter().filter(waits).map(|handler| handler.declaration.kind).collect()
}

/// Computes the price of a request, and returns the input for the engine.
pub(super) fn quote<A: Jobs>(
    cache: &StateCache<A>,
    job: EventId,
    handler: usize,
    request: &JobRequest,
    state: &StateSnapshot,
) -> Input {
    let _span = job_span::<A>(handler, request).entered();
    let handler = A::HANDLERS.get(handler);
    let price =
        match handler.and_then(|handler| handler.quote) {
            Some(quote) => cache.shared(state).map_err(|error| unreadable(job, &error)).and_then(|agent| {
                match catch_unwind(AssertUnwindSafe(|| quote(&agent, request))) {
                    Ok(Ok(price)) => Ok(price),
                    Ok(Err(error)) => {
                        log::warn(format_args!("no price for {job}: {error}"));
                        Err(QuoteError::Refused(error.message().to_owned()))
                    }
                    Err(panic) => {
                        log::warn(format_args!("no price for {job}: {}", panicked(&*panic)));
                        Err(QuoteError::Panicked)
                    }
                }
            }),
            None => Ok(handler.map(|handler| handler.declaration.price).unwrap_or_default()),
        };
    Input::Quoted { job, price }
}

/// The customer's message for a state that cannot be read; the operator gets the details.
fn unreadable(job: EventId, error: &StateError) -> QuoteError {
    log::warn(format_args!("no price for {job}: {error}"));
    QuoteError::UnreadableState
}

/// Runs work with a time limit. Work that takes too long is dropped at its next `.await`.
async fn limited<T>(limit: Duration, work: impl Future<Output = Result<T, JobError>>) -> Result<T, JobError> {
    match timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Some(Ok(result)) => result,
        Some(Err(panic)) => Err(panicked(&*panic)),
        None => Err(JobError::failed(format!("the agent did not finish within {limit:?}"))),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> JobError {
    let message = panic.downcast_ref::<&str>().map(|message| (*message).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
    let message = message.unwrap_or_else(|| "the handler panicked".to_owned());
    JobError::failed(UNTOLD).caused_by(format!("panic: {message}"))
}
