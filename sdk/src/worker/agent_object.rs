//! The agent's shell in a Durable Object: requests come by `fetch`, work is driven by the alarm.
//!
//! The alarm is the one thing that the runtime repeats until it succeeds, also after the object was lost. So every request
//! sets it, and it does not end before nothing is left that could go on now. It takes some 50 ms to ring, and work gets that
//! much of a head start by beginning at once, beside the answer to `fetch`; the alarm then only waits for its end.

mod deliveries;
mod own_key;
mod surroundings;
mod visits;
mod work;

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use openagents_host::worker::{now, set_alarm};
use openagents_host::{Engine, Event};
use worker::{Env, Method, Request, Response, Result, State};

use super::relay_object::REQUESTS_PATH;
use crate::agent::Jobs;
use crate::door;
use crate::engine::{Effect, Input};
use work::Opened;

/// The agent's object. Its database and key are its own; everything else is rebuilt from them when it wakes.
pub struct AgentObject<A>(Rc<Object<A>>);

struct Object<A> {
    state: State,
    /// Whether what is due by the clock was seen to since this object came to be.
    is_set: Cell<bool>,
    /// Why the object cannot work, when it cannot; the constructor has no other way to say so.
    opened: std::result::Result<Opened<A>, String>,
}

impl<A: Jobs> AgentObject<A> {
    /// What the runtime does when the object is needed.
    #[must_use]
    pub fn new(state: State, env: Env) -> Self {
        let opened = Opened::open(&state, env);
        if let Err(error) = &opened {
            worker::console_error!("the agent cannot start: {error}");
        }
        Self(Rc::new(Object { state, is_set: Cell::new(false), opened }))
    }

    /// Answers the Worker and the relay's object; nobody else reaches it.
    ///
    /// # Errors
    /// When the runtime fails.
    pub async fn fetch(&self, mut request: Request) -> Result<Response> {
        let opened = match &self.0.opened {
            Ok(opened) => opened,
            Err(error) => return Response::error(format!("the agent cannot start: {error}\n"), 500),
        };
        self.0.set_first_alarm(opened).await?;
        let url = request.url()?;
        match (request.method(), url.path()) {
            (Method::Post, REQUESTS_PATH) => {
                if let Err(error) = take(opened, &request.text().await?) {
                    return Response::error(error, 500);
                }
                // At once, and not when the engine next has something to do: that may be the end of a lease, and if this
                // process is lost before, so is the lease. Also when it was taken before: perhaps its alarm never came
                // to be.
                set_alarm(&self.0.state.storage(), Some(now())).await?;
                let object = Rc::clone(&self.0);
                self.0.state.wait_until(AssertUnwindSafe(async move { object.work().await }));
                Response::ok("taken")
            }
            (Method::Get, "/welcome") => page(door::TEXT, door::welcome(&opened.manifest)),
            (Method::Get, "/health") => page(door::JSON, door::health(&opened.manifest)),
            (Method::Get, "/manifest") => {
                let asked =
                    url.query_pairs().find(|(name, _)| name == "agent").map(|(_, value)| value.into_owned());
                let manifest = &opened.manifest;
                if asked.is_some_and(|asked| asked == manifest.author.npub || asked == manifest.id.to_hex()) {
                    page(door::JSON, manifest.to_json())
                } else {
                    Response::error(door::NO_SUCH_AGENT, 404)
                }
            }
            _ => Response::error(door::NOWHERE, 404),
        }
    }

    /// Works until nothing is left that could go on now.
    ///
    /// # Errors
    /// When the runtime fails; it then calls again.
    pub async fn alarm(&self) -> Result<Response> {
        if let Ok(opened) = &self.0.opened {
            // Until this returns, the alarm stays set: if the object is lost meanwhile, it rings again at once.
            self.0.work().await;
            let next = opened.engine.borrow().next_alarm();
            set_alarm(&self.0.state.storage(), next).await?;
        }
        Response::empty()
    }
}

impl<A: Jobs> Object<A> {
    /// Schedules and visits come by the alarm. A new deployment has none yet, and a release may have brought others.
    async fn set_first_alarm(&self, opened: &Opened<A>) -> Result<()> {
        if !self.is_set.replace(true) {
            let next = opened.engine.borrow().next_alarm();
            if next.is_some() {
                set_alarm(&self.state.storage(), next).await?;
            }
        }
        Ok(())
    }

    /// Works until nothing more can go on now, or waits for whoever is doing that already.
    async fn work(&self) {
        let Ok(opened) = &self.opened else { return };
        opened.wait_for_others().await;
        opened.work().await;
    }
}

/// Puts an event on record.
fn take<A: Jobs>(opened: &Opened<A>, json: &str) -> std::result::Result<(), String> {
    let event = Event::from_json(json).map_err(|error| error.to_string())?;
    let event = event.verify().map_err(|error| error.to_string())?;
    let mut taken = Ok(());
    let mut others = Vec::new();
    for effect in opened.handle(&Input::Request { event, source: None, ticket: 0 }) {
        match effect {
            Effect::Taken { result, .. } => taken = result.map(drop).map_err(|error| error.to_string()),
            other => others.push(other),
        }
    }
    opened.wake(others);
    taken
}

fn page(content_type: &str, body: String) -> Result<Response> {
    let mut response = Response::ok(body)?;
    response.headers_mut().set("content-type", content_type)?;
    Ok(response)
}
