//! The agent's shell in a Durable Object: requests come by `fetch`, work is driven by the alarm.
//!
//! The alarm is the one thing that the runtime repeats until it succeeds, also after the object was lost. So every request
//! sets it, and it does not end before nothing is left that could go on now. It takes some 50 ms to ring, and work gets that
//! much of a head start by beginning at once, beside the answer to `fetch`; the alarm then only waits for its end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_channel::oneshot;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use openagents_host::sql::{migrate, values};
use openagents_host::worker::{DurableSql, now, set_alarm};
use openagents_host::{Engine, Event, Keys, Sql, Timestamp, VerifiedEvent};
use openagents_relay::Outcome;
use worker::{Env, Method, Request, Response, Result, State};

use super::relay_object::REQUESTS_PATH;
use super::{DELIVERY_TIMEOUT, MAIN_RELAY, RELAY_BINDING, variable, within};
use crate::agent::Jobs;
use crate::door;
use crate::engine::{Delivery, Effect, Input, JobEngine};
use crate::manifest::AgentManifest;
use crate::runner::{self, StateCache};
use crate::settings;

/// How long one alarm takes up new jobs. The runtime ends it after 15 minutes, and a job may take 10.
const ALARM_SPAN: Duration = Duration::from_secs(4 * 60);

/// The agent's object. Its database and key are its own; everything else is rebuilt from them when it wakes.
pub struct AgentObject<A>(Rc<Object<A>>);

struct Object<A> {
    state: State,
    env: Env,
    /// Why the object cannot work, when it cannot; the constructor has no other way to say so.
    opened: std::result::Result<Opened<A>, String>,
}

struct Opened<A> {
    engine: RefCell<JobEngine<DurableSql>>,
    cache: StateCache<A>,
    manifest: AgentManifest,
    /// Tells the work that is going on of new requests.
    wake: RefCell<Option<UnboundedSender<()>>>,
    /// Who waits for the work that is going on to end.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
    /// Answers that wait for their way to the relay, in the order they must arrive in.
    answers: RefCell<VecDeque<(u64, VerifiedEvent)>>,
    last_ticket: Cell<u64>,
}

impl<A: Jobs> AgentObject<A> {
    /// What the runtime does when the object is needed.
    #[must_use]
    pub fn new(state: State, env: Env) -> Self {
        let opened = Opened::open(&state, &env);
        if let Err(error) = &opened {
            worker::console_error!("the agent cannot start: {error}");
        }
        Self(Rc::new(Object { state, env, opened }))
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
        let url = request.url()?;
        match (request.method(), url.path()) {
            (Method::Post, REQUESTS_PATH) => {
                if let Err(error) = opened.take(&request.text().await?) {
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
    /// Works until nothing more can go on now, or waits for whoever is doing that already.
    async fn work(&self) {
        let Ok(opened) = &self.opened else { return };
        while opened.wake.borrow().is_some() {
            let (done, ended) = oneshot::channel();
            opened.waiting.borrow_mut().push(done);
            let _ = ended.await;
        }
        opened.work(&self.env).await;
    }
}

impl<A: Jobs> Opened<A> {
    fn open(state: &State, env: &Env) -> std::result::Result<Self, String> {
        let sql = DurableSql::new(&state.storage());
        let given = settings::agent_keys(|name| variable(env, name)).map_err(|error| error.to_string())?;
        let keys = match given {
            Some(keys) => keys,
            None => own_keys(&sql)?,
        };
        let manifest = AgentManifest::of::<A>(&keys.public_key());
        let engine = JobEngine::open(sql, keys, runner::handler_facts::<A>(), now())
            .map_err(|error| error.to_string())?;
        let cache = StateCache::default();
        cache.shared(&engine.state()).map_err(|error| error.to_string())?;
        Ok(Self {
            engine: RefCell::new(engine),
            cache,
            manifest,
            wake: RefCell::new(None),
            waiting: RefCell::default(),
            answers: RefCell::default(),
            last_ticket: Cell::new(0),
        })
    }

    /// Puts a request on record.
    fn take(&self, json: &str) -> std::result::Result<(), String> {
        let event = Event::from_json(json).map_err(|error| error.to_string())?;
        let event = event.verify().map_err(|error| error.to_string())?;
        let ticket = self.last_ticket.get().wrapping_add(1);
        self.last_ticket.set(ticket);
        let mut taken = Ok(());
        for effect in self.handle(&Input::Request { event, ticket }) {
            match effect {
                Effect::Taken { ticket: of, result } if of == ticket => {
                    taken = result.map(drop).map_err(|error| error.to_string());
                }
                Effect::Warn(warning) => worker::console_warn!("{warning}"),
                // The engine runs and publishes only when its alarm is called.
                Effect::Taken { .. } | Effect::Run { .. } | Effect::Publish { .. } => {}
            }
        }
        if let Some(wake) = &*self.wake.borrow() {
            let _ = wake.unbounded_send(());
        }
        taken
    }

    fn handle(&self, input: &Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.engine.borrow_mut().handle(now(), input, &mut effects);
        effects
    }

    /// Does what is due, until nothing more can go on now.
    async fn work(&self, env: &Env) {
        let (sender, mut woken) = unbounded();
        let _working = Working::begin(self, sender);
        let began = now();
        let mut runs: FuturesUnordered<LocalBoxFuture<'_, Input>> = FuturesUnordered::new();
        // One at a time, since the order in which a customer hears of a job matters.
        let mut delivery: FuturesUnordered<LocalBoxFuture<'_, Input>> = FuturesUnordered::new();
        loop {
            for effect in self.due(began) {
                self.begin(effect, &runs);
            }
            if delivery.is_empty()
                && let Some((entry, event)) = self.next_answer()
            {
                let deliver = async move { Input::Delivered { entry, delivery: deliver(env, &event).await } };
                delivery.push(deliver.boxed_local());
            }
            if runs.is_empty() && delivery.is_empty() {
                break;
            }
            let ended = select_biased! {
                input = delivery.select_next_some() => Some(input),
                input = runs.select_next_some() => Some(input),
                _ = woken.next() => None,
            };
            for effect in ended.map(|input| self.handle(&input)).unwrap_or_default() {
                self.begin(effect, &runs);
            }
        }
    }

    fn next_answer(&self) -> Option<(u64, VerifiedEvent)> {
        self.answers.borrow_mut().pop_front()
    }

    fn due(&self, began: Timestamp) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut engine = self.engine.borrow_mut();
        if engine.next_alarm().is_some_and(|at| at <= now()) && began.until(now()) < ALARM_SPAN {
            engine.alarm(now(), &mut effects);
        }
        effects
    }

    /// Begins what the engine wants.
    fn begin<'a>(&'a self, effect: Effect, runs: &FuturesUnordered<LocalBoxFuture<'a, Input>>) {
        match effect {
            Effect::Run { lease, handler, request, state } => {
                runs.push(runner::run(&self.cache, lease, handler, *request, state).boxed_local());
            }
            Effect::Publish { entry, event } => self.answers.borrow_mut().push_back((entry, event)),
            Effect::Warn(warning) => worker::console_warn!("{warning}"),
            Effect::Taken { .. } => {}
        }
    }
}

/// Work that is going on. When it ends, in whatever way, whoever waits goes on.
struct Working<'a, A>(&'a Opened<A>);

impl<'a, A> Working<'a, A> {
    fn begin(opened: &'a Opened<A>, wake: UnboundedSender<()>) -> Self {
        *opened.wake.borrow_mut() = Some(wake);
        Self(opened)
    }
}

impl<A> Drop for Working<'_, A> {
    fn drop(&mut self) {
        *self.0.wake.borrow_mut() = None;
        for waiting in self.0.waiting.take() {
            let _ = waiting.send(());
        }
    }
}

/// Publishes an answer through the relay's object.
async fn deliver(env: &Env, event: &VerifiedEvent) -> Delivery {
    match within(DELIVERY_TIMEOUT, publish(env, event)).await {
        Some(delivery) => delivery.unwrap_or_else(|error| Delivery::Unreachable(error.to_string())),
        None => Delivery::Unreachable("the relay's object did not answer".to_owned()),
    }
}

async fn publish(env: &Env, event: &VerifiedEvent) -> Result<Delivery> {
    let stub = env.durable_object(RELAY_BINDING)?.get_by_name(MAIN_RELAY)?;
    Ok(match openagents_relay::worker::publish(&stub, event).await? {
        Outcome::Accepted | Outcome::Duplicate => Delivery::Accepted,
        Outcome::Refused(reason) => Delivery::Refused(reason.to_string()),
    })
}

/// The key that the object made for itself, kept in its own database.
fn own_keys(sql: &DurableSql) -> std::result::Result<Keys, String> {
    let table = "CREATE TABLE own_key (one INTEGER PRIMARY KEY CHECK (one = 1), nsec TEXT NOT NULL) STRICT";
    migrate(sql, "own key", &[table]).map_err(|error| error.to_string())?;
    let kept = sql.first::<(String,)>("SELECT nsec FROM own_key", &[]).map_err(|error| error.to_string())?;
    if let Some((nsec,)) = kept {
        return nsec.parse().map_err(|error: openagents_host::keys::KeyError| error.to_string());
    }
    let keys = Keys::generate().map_err(|error| error.to_string())?;
    sql.execute("INSERT INTO own_key (one, nsec) VALUES (1, ?)", values![&keys.to_nsec()])
        .map_err(|error| error.to_string())?;
    worker::console_log!(
        "{} is not set: this agent made a key of its own, {}, which stays in its object. To choose it: npx wrangler secret put {}",
        settings::NOSTR_PRIVATE_KEY,
        keys.npub(),
        settings::NOSTR_PRIVATE_KEY,
    );
    Ok(keys)
}

fn page(content_type: &str, body: String) -> Result<Response> {
    let mut response = Response::ok(body)?;
    response.headers_mut().set("content-type", content_type)?;
    Ok(response)
}
