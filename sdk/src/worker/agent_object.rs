//! The agent's shell in a Durable Object: requests come by `fetch`, work is driven by the alarm.
//!
//! The alarm is the one thing that the runtime repeats until it succeeds, also after the object was lost. So every request
//! sets it, and it does not end before nothing is left that could go on now. It takes some 50 ms to ring, and work gets that
//! much of a head start by beginning at once, beside the answer to `fetch`; the alarm then only waits for its end.

mod deliveries;
mod handler_host;
mod own_key;
mod work;

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use openagents_host::nostr::event::VerifyError;
use openagents_host::worker::{now, set_alarm};
use openagents_host::{Engine, Event, SqlError, Timestamp};
use url::Url;
use worker::{Env, Method, Request, Response, Result, State};

use super::entry::{HTTP_REQUESTS_PATH, written};
use super::relay_object::REQUESTS_PATH;
use crate::author::agent::Jobs;
use crate::engine::{Effect, Input};
use crate::http::{self, HttpRequest, HttpResponse, Route, RouteAnswer};
use work::{AgentWorker, OpenError};

/// When an agent that could not start is tried again: perhaps in another release.
const RESTART_INTERVAL: Duration = Duration::from_secs(60);

/// The agent's object. Its database and key are its own; everything else is rebuilt from them when it wakes.
pub struct AgentObject<A>(Rc<AgentObjectInner<A>>);

struct AgentObjectInner<A> {
    state: State,
    /// Why the object cannot work, when it cannot; the constructor has no other way to say so.
    agent: std::result::Result<AgentWorker<A>, OpenError>,
    alarm_is_set: Cell<bool>,
}

impl<A: Jobs> AgentObject<A> {
    /// What the runtime does when the object is needed.
    #[must_use]
    pub fn new(state: State, env: Env) -> Self {
        let agent = AgentWorker::open(&state, env);
        if let Err(error) = &agent {
            worker::console_error!("the agent cannot start: {error}");
        }
        Self(Rc::new(AgentObjectInner { state, agent, alarm_is_set: Cell::new(false) }))
    }

    /// Answers the Worker and the relay's object; nobody else reaches it.
    ///
    /// # Errors
    /// When the runtime fails.
    pub async fn fetch(&self, mut request: Request) -> Result<Response> {
        let agent = match &self.0.agent {
            Ok(agent) => agent,
            Err(error) => return Response::error(format!("the agent cannot start: {error}\n"), 500),
        };
        let url = request.url()?;
        self.0.ensure_alarm(agent).await?;
        match (request.method(), url.path()) {
            (Method::Post, REQUESTS_PATH) => {
                if let Err(error) = take(agent, &request.text().await?) {
                    return Response::error(error.to_string(), 500);
                }
                // At once, and not when the engine next has something to do: that may be the end of a lease, and if this
                // process is lost before, so is the lease. Also when it was taken before: perhaps its alarm never came
                // to be.
                set_alarm(&self.0.state.storage(), Some(now())).await?;
                let object = Rc::clone(&self.0);
                self.0.state.wait_until(AssertUnwindSafe(async move { object.work().await }));
                Response::ok("taken")
            }
            (Method::Post, HTTP_REQUESTS_PATH) => written(page(agent, &request.json().await?)),
            _ => written(HttpResponse::nowhere()),
        }
    }

    /// Works until nothing is left that could go on now.
    ///
    /// # Errors
    /// When the runtime fails; it then calls again.
    pub async fn alarm(&self) -> Result<Response> {
        let Ok(agent) = &self.0.agent else {
            // Nothing else would wake the release that can start.
            set_alarm(&self.0.state.storage(), Some(now() + RESTART_INTERVAL)).await?;
            return Response::empty();
        };
        // Until this returns, the alarm stays set: if the object is lost meanwhile, it rings again at once. What is left
        // after another's work is for the next alarm, since this one has used up much of its time.
        if !agent.waited_for_other().await {
            agent.work().await;
        }
        let next = agent.engine.borrow().next_alarm();
        set_alarm(&self.0.state.storage(), next).await?;
        Response::empty()
    }
}

impl<A: Jobs> AgentObjectInner<A> {
    /// Sets the alarm for what the agent does of its own accord, schedules and announcements: nothing else would wake it
    /// in time. Once for each time that it is in memory does.
    async fn ensure_alarm(&self, agent: &AgentWorker<A>) -> Result<()> {
        let next = agent.engine.borrow().next_alarm();
        if self.alarm_is_set.get() {
            return Ok(());
        }
        let is_late = |set: Option<i64>, next: Timestamp| {
            set.and_then(|at| u64::try_from(at).ok()).is_none_or(|at| at > next.as_millis())
        };
        if let Some(next) = next
            && is_late(self.state.storage().get_alarm().await?, next)
        {
            set_alarm(&self.state.storage(), Some(next)).await?;
        }
        self.alarm_is_set.set(true);
        Ok(())
    }

    /// Works until nothing more can go on now, unless somebody does that already.
    async fn work(&self) {
        let Ok(agent) = &self.agent else { return };
        // Whoever works already was told by `wake`, and what it leaves is the alarm's.
        if !agent.is_working() {
            agent.work().await;
        }
    }
}

/// An object handles one input at a time, so one ticket does for all.
const TICKET: u64 = 0;

/// Why an event is not on record.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error("this is no event: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Event(#[from] VerifyError),
    #[error(transparent)]
    Database(#[from] SqlError),
}

/// Puts an event on record.
fn take<A: Jobs>(agent: &AgentWorker<A>, json: &str) -> std::result::Result<(), TakeError> {
    let event = Event::from_json(json)?.verify()?;
    let mut taken = Ok(());
    let mut others = Vec::new();
    for effect in agent.handle(&Input::Request { event, source: None, ticket: TICKET }) {
        match effect {
            Effect::Taken { ticket: TICKET, result } => {
                taken = result.map(drop).map_err(TakeError::from);
            }
            other => others.push(other),
        }
    }
    agent.wake(others);
    taken
}

/// The response to an HTTP request.
fn page<A: Jobs>(agent: &AgentWorker<A>, http_request: &HttpRequest) -> HttpResponse {
    let path = Url::parse(&http_request.url).map(|url| url.path().to_owned()).unwrap_or_default();
    let Route::Agent(route) = http::route(&http_request.method, &path, "", "", false) else {
        return HttpResponse::nowhere();
    };
    match agent.routes.answer(route, http_request, now()) {
        RouteAnswer::Response(page) => page,
        RouteAnswer::Ask(pending) => {
            let answer = handler_host::query_state(&agent.engine, pending.query.clone());
            if let Err(error) = &answer {
                worker::console_error!("{} could not be shown: {error}", http_request.url);
            }
            agent.routes.respond(&pending, answer.map_err(|error| error.to_string()))
        }
    }
}
