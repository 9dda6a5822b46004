//! The agent's host in a Durable Object: requests arrive by `fetch`, the alarm drives the work.
//!
//! Only the alarm is repeated by the runtime until it succeeds, even after the object was lost. So every request sets
//! it, and it does not end while more can be done now. An alarm takes about 50 ms to fire; to save that time, work
//! starts at once, next to the answer to `fetch`, and the alarm then only waits for its end.

mod deliveries;
mod handler_host;
mod own_key;
mod work;

use std::borrow::Cow;
use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use openagents_host::http::{Body, Parts};
use openagents_host::nostr::event::VerifyError;
use openagents_host::port::alarm::AlarmCause;
use openagents_host::timeout;
use openagents_host::worker::{ObjectHost, http as worker_http, now, rpc};
use openagents_host::{Engine, Event, SqlError};
use openagents_relay::admission::ClientMemoryUsage;
use openagents_relay::worker::BILLED_ROWS_PATH;
use worker::{Env, Error, Request, Response, Result, State};

use super::audit_bucket::AuditBucket;
use super::calls::{AgentCall, AgentReply, relay};
use crate::author::agent::Jobs;
use crate::engine::{Effect, Input, StateQuery, StateReply};
use crate::http::{
    self, AgentRoute, DeploymentUsage, MAX_RESPONSE_WAIT, PartHealth, PartsHealth, PendingQuery, Route,
    RouteAnswer,
};
use work::{AgentWorker, UNREADABLE_STATE};

/// The agent's object. It has its own database and key; everything else is rebuilt from these when it wakes.
pub struct AgentObject<A>(Rc<AgentObjectInner<A>>);

struct AgentObjectInner<A> {
    host: ObjectHost<Rc<AgentWorker<A>>>,
    env: Env,
    is_alarm_ensured: Cell<bool>,
}

impl<A: Jobs> AgentObject<A> {
    /// The object. Opening the agent is left to its first event, so that an error can be reported to the caller.
    #[must_use]
    pub fn new(state: State, env: Env) -> Self {
        let host = ObjectHost::new(state);
        Self(Rc::new(AgentObjectInner { host, env, is_alarm_ensured: Cell::new(false) }))
    }

    /// Answers the Worker and the relay's object; nobody else can call it.
    ///
    /// # Errors
    /// When the runtime fails.
    pub async fn fetch(&self, mut request: Request) -> Result<Response> {
        let agent = match self.0.agent() {
            Ok(agent) => agent,
            Err(public) => return Response::error(format!("the agent cannot start: {public}\n"), 500),
        };
        if !agent.can_read_its_state() {
            return self.0.answer_with_unreadable_state(&agent, request).await;
        }
        self.0.ensure_alarm(&agent).await?;
        match rpc::receive(&mut request).await? {
            Some(AgentCall::TakeRequests(events)) => {
                let taken = take(&agent, events.into_iter().map(Cow::into_owned).collect());
                if taken.iter().any(std::result::Result::is_ok) {
                    // Also for known requests, since their alarm may never have been set.
                    self.0.begin_work(agent).await?;
                }
                let taken = taken.into_iter().map(|taken| taken.map_err(|error| error.to_string()));
                rpc::reply(&AgentReply::Taken(taken.collect()))
            }
            Some(AgentCall::TellKey) => rpc::reply(&AgentReply::Key(agent.key)),
            Some(AgentCall::CountRequest(request)) => {
                let admission = match self.0.query(&agent, StateQuery::CountRequest(request)).await? {
                    Some(StateReply::Admission(admission)) => Some(admission),
                    _ => None,
                };
                rpc::reply(&AgentReply::Counted(admission))
            }
            Some(AgentCall::ExpectsBlob { customer, hash }) => {
                rpc::reply(&self.0.answer(&agent, StateQuery::ExpectsBlob { customer, hash }))
            }
            Some(AgentCall::BlobArrived { hash }) => {
                let answer = self.0.answer(&agent, StateQuery::BlobArrived { hash });
                agent.wake(Vec::new());
                self.0.begin_work(agent).await?;
                rpc::reply(&answer)
            }
            Some(AgentCall::KeepAuditRecord(record)) => {
                let is_kept = match self.0.query(&agent, StateQuery::KeepAuditRecord(record)).await? {
                    Some(StateReply::Answer(is_kept)) => Some(is_kept),
                    _ => None,
                };
                rpc::reply(&AgentReply::Kept(is_kept))
            }
            None if request.path() == BILLED_ROWS_PATH => {
                let rows = agent.engine.borrow().sql().billed_rows();
                Response::from_json(&rows)
            }
            None => {
                let parts = worker_http::parts(&request)?;
                let body = worker_http::body(&mut request)?;
                let response = self.0.respond(&agent, &parts, body).await?;
                worker_http::response(response, &parts.method)
            }
        }
    }

    /// Works until nothing more can be done now.
    ///
    /// # Errors
    /// When the runtime fails; it then calls the alarm again.
    pub async fn alarm(&self) -> Result<Response> {
        let ringing = self.0.host.ring();
        let agent = match self.0.agent() {
            Ok(agent) if agent.can_read_its_state() => agent,
            _ => {
                self.0.host.finish_alarm_unopened(ringing).await?;
                return Response::empty();
            }
        };
        // The alarm stays set until this returns: if the object is lost meanwhile, it fires again at once. If other
        // work was in progress, the rest is left for the next alarm, since that has used up much of this one's time.
        let did_work = agent.waited_for_other().await || agent.work().await;
        let next = agent.engine.borrow().next_alarm();
        self.0.host.finish_alarm(ringing, did_work, next).await?;
        Response::empty()
    }
}

impl<A: Jobs> AgentObjectInner<A> {
    /// The agent, opened on first use. If it cannot start, the error is what strangers may be told, and the next event
    /// tries again.
    fn agent(&self) -> Result<Rc<AgentWorker<A>>> {
        let open = || {
            let opened = AgentWorker::open(self.host.sql(), self.env.clone());
            opened.map(Rc::new).map_err(|error| {
                worker::console_error!("the agent cannot start: {error}");
                Error::RustError(error.public_message())
            })
        };
        self.host.with(open, |agent| Rc::clone(agent))
    }

    /// The answer to a question about an upload, by yes or no.
    fn answer(&self, agent: &AgentWorker<A>, query: StateQuery) -> AgentReply {
        let reply = handler_host::query_state(&agent.engine, query);
        if let Err(error) = &reply {
            worker::console_error!("a question about an upload could not be answered: {error}");
        }
        AgentReply::Answer(matches!(reply, Ok(StateReply::Answer(true))))
    }

    /// Queries the database for the gateway. What is due later gets its alarm.
    async fn query(&self, agent: &Rc<AgentWorker<A>>, query: StateQuery) -> Result<Option<StateReply>> {
        let reply = handler_host::query_state(&agent.engine, query)
            .inspect_err(|error| worker::console_error!("a query of the gateway failed: {error}"));
        let next = agent.engine.borrow().next_alarm();
        self.host.keep_alarm(next, AlarmCause::Request).await?;
        Ok(reply.ok())
    }

    /// The response to a request that the Worker forwarded.
    async fn respond(
        &self,
        agent: &Rc<AgentWorker<A>>,
        parts: &Parts,
        body: Body,
    ) -> Result<openagents_host::http::Response> {
        let declared: Vec<_> = A::ROUTES.iter().map(|route| route.declaration).collect();
        let Route::Agent(route) = http::route(parts, &declared) else { return Ok(http::not_found()) };
        let answer = match route {
            AgentRoute::Health => agent.routes.health(parts_health(&self.env).await),
            AgentRoute::Metrics => {
                let memory = relay_memory(&self.env).await;
                let blobs = openagents_blossom::worker::statistics(&self.env).await;
                agent.routes.metrics(DeploymentUsage { memory, blobs })
            }
            route => agent.routes.answer(route, parts, now()),
        };
        Ok(match answer {
            RouteAnswer::Response(response) => response,
            RouteAnswer::Call(route) => self.call(agent, route, parts, body).await?,
            RouteAnswer::ChangeState { field } => {
                match agent.routes.change_state(field.as_deref(), parts, body, now()).await {
                    Ok(pending) => self.ask(agent, parts, pending).await?,
                    Err(response) => response,
                }
            }
            RouteAnswer::Audit(query) => {
                let audit = AuditBucket::of(&self.env);
                query.answer(audit.as_ref().map(|audit| audit as _).map_err(Clone::clone)).await
            }
            RouteAnswer::Ask(pending) => self.ask(agent, parts, pending).await?,
        })
    }

    /// The response to a query of the agent's database.
    async fn ask(
        &self,
        agent: &Rc<AgentWorker<A>>,
        parts: &Parts,
        pending: PendingQuery,
    ) -> Result<openagents_host::http::Response> {
        let reply = handler_host::query_state(&agent.engine, pending.query.clone());
        if let Err(error) = &reply {
            worker::console_error!("{} could not be answered: {error}", parts.uri.path());
        }
        if pending.query.makes_work() && reply.is_ok() && agent.can_read_its_state() {
            agent.wake(Vec::new());
            self.begin_work(Rc::clone(agent)).await?;
        }
        Ok(pending.respond(reply.ok()))
    }

    /// Answers while the agent cannot read its state: an operator may see and change it, and nobody else is served.
    async fn answer_with_unreadable_state(
        &self,
        agent: &Rc<AgentWorker<A>>,
        mut request: Request,
    ) -> Result<Response> {
        if let Some(AgentCall::TellKey) = rpc::receive(&mut request).await? {
            return rpc::reply(&AgentReply::Key(agent.key));
        }
        let parts = worker_http::parts(&request)?;
        match http::route(&parts, &[]) {
            Route::Agent(route) if route.is_of_state() => {
                let body = worker_http::body(&mut request)?;
                let response = self.respond(agent, &parts, body).await?;
                worker_http::response(response, &parts.method)
            }
            _ => Response::error(format!("the agent cannot start: {UNREADABLE_STATE}\n"), 500),
        }
    }

    /// The response to a request to a route that the agent declares.
    async fn call(
        &self,
        agent: &Rc<AgentWorker<A>>,
        route: usize,
        parts: &Parts,
        body: Body,
    ) -> Result<openagents_host::http::Response> {
        // Cloudflare sets this header.
        let address = parts.headers.get("cf-connecting-ip");
        let address = address.and_then(|address| address.to_str().ok()?.parse().ok());
        let request = match agent.routes.receive(route, parts, body, address, now()).await {
            Ok(request) => request,
            Err(response) => return Ok(response),
        };
        let responded = agent.call(route, request);
        self.begin_work(Rc::clone(agent)).await?;
        let answered = timeout(MAX_RESPONSE_WAIT, responded).await;
        Ok(http::response_of(answered.and_then(std::result::Result::ok).flatten()))
    }

    /// Does what is due, next to the answer. The alarm is set now, not when the engine next has something to do: that
    /// could be the end of a lease, and if this process is lost before, the lease is lost too.
    async fn begin_work(&self, agent: Rc<AgentWorker<A>>) -> Result<()> {
        self.host.set_alarm(now(), AlarmCause::Request).await?;
        let work = AssertUnwindSafe(async move { agent.work_unless_working().await });
        self.host.state().wait_until(work);
        Ok(())
    }

    /// Sets the alarm for what no request triggers: schedules and announcements. Once after each start of the object
    /// is enough.
    async fn ensure_alarm(&self, agent: &AgentWorker<A>) -> Result<()> {
        if self.is_alarm_ensured.get() {
            return Ok(());
        }
        let next = agent.engine.borrow().next_alarm();
        if next.is_some() {
            self.host.load_alarm().await?;
            self.host.keep_alarm(next, AlarmCause::Opening).await?;
        }
        self.is_alarm_ensured.set(true);
        Ok(())
    }
}

/// How long the relay's object may take to say how much memory it uses.
const MEMORY_USAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long relay and blob server may take to show that they can work.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether relay and blob server can work.
pub(super) async fn parts_health(env: &Env) -> PartsHealth {
    let relay = async {
        let relay = relay(env)?;
        openagents_relay::worker::query(&relay, &PartsHealth::relay_probe()).await
    };
    let blobs = openagents_blossom::worker::statistics(env);
    let (relay, blobs) = join(timeout(HEALTH_TIMEOUT, relay), timeout(HEALTH_TIMEOUT, blobs)).await;
    let blobs = match openagents_blossom::worker::is_bound(env) {
        true => PartHealth::of(matches!(blobs, Some(Some(_)))),
        false => PartHealth::Absent,
    };
    PartsHealth { relay: PartHealth::of(matches!(relay, Some(Ok(_)))), blobs }
}

/// How much memory clients make the relay's object keep, if it can be asked.
pub(super) async fn relay_memory(env: &Env) -> Option<ClientMemoryUsage> {
    let relay = relay(env).ok()?;
    timeout(MEMORY_USAGE_TIMEOUT, openagents_relay::worker::memory_usage(&relay)).await?.ok()
}

/// An object handles one query at a time, so one ticket suffices.
const TICKET: u64 = 0;

/// Why an event was not stored.
#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Event(#[from] VerifyError),
    #[error(transparent)]
    Database(#[from] SqlError),
}

/// Passes events to the engine, which stores them. Returns one outcome for each.
fn take<A: Jobs>(agent: &AgentWorker<A>, events: Vec<Event>) -> Vec<std::result::Result<(), TakeError>> {
    let (mut taken, mut inputs, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (event, ticket) in Event::verify_all(events).into_iter().zip(0..) {
        let event = event.map(|event| inputs.push(Input::Request { event, source: None, ticket }));
        taken.push(event.map_err(TakeError::from));
    }
    for effect in agent.handle(&inputs) {
        match effect {
            Effect::Taken { ticket, result } => {
                if let Some(taken) = usize::try_from(ticket).ok().and_then(|place| taken.get_mut(place)) {
                    *taken = result.map(drop).map_err(TakeError::from);
                }
            }
            other => others.push(other),
        }
    }
    agent.wake(others);
    taken
}
