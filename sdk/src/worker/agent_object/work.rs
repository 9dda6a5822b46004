//! Carries out what is due in the agent's object, until nothing more can be done now.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};
use openagents_host::sql::SchemaError;
use openagents_host::worker::{DurableSql, now};
use openagents_host::{Engine, PublicKey, Timestamp};
use worker::Env;

use super::deliveries::{Deliveries, deliver};
use super::handler_host::WorkerHandlerHost;
use super::own_key::{OwnKeyError, own_keys};
use crate::author::agent::Jobs;
use crate::engine::{DeliveryLimits, Effect, Input, JobEngine, Options};
use crate::http::AgentRoutes;
use crate::route::{RouteRequest, RouteResponse};
use crate::runner::{self, HostAction, Services, StateCache};
use crate::settings::{self, Operators, SettingError};
use crate::worker::audit_bucket::AuditBucket;
use crate::worker::{log_to_console, variable};

/// How long one alarm starts new jobs. The runtime ends an alarm after 15 minutes, and a job may take 10.
const ALARM_SPAN: Duration = Duration::from_secs(4 * 60);

/// What an operator can do about such a state.
const REPAIR: &str = "The command `state` with `--url` shows and repairs the stored state: `state show`, `state set FIELD JSON`, `state reset`";

/// What strangers are told of a state that cannot be read.
pub(super) const UNREADABLE_STATE: &str = "its state could not be read; the log has the reason";

/// Why an agent could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Key(#[from] OwnKeyError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl OpenError {
    /// What strangers may be told.
    pub(super) fn public_message(&self) -> String {
        match self {
            Self::Setting(error) => error.public_message(),
            Self::Schema(error) | Self::Key(OwnKeyError::Schema(error)) => error.public_message(),
            Self::Key(_) => UNREADABLE_STATE.to_owned(),
        }
    }
}

/// An open agent.
pub(super) struct AgentWorker<A> {
    env: Env,
    pub(super) engine: Rc<RefCell<JobEngine<DurableSql>>>,
    services: Services<A>,
    cache: Arc<StateCache<A>>,
    can_read_state: Cell<bool>,
    pub(super) routes: AgentRoutes,
    pub(super) key: PublicKey,
    deliveries: Deliveries,
    /// Requests to routes of the agent that wait for their responses, by their tickets.
    calls: RefCell<BTreeMap<u64, oneshot::Sender<Option<RouteResponse>>>>,
    last_ticket: Cell<u64>,
    /// Inputs for the engine from running tasks.
    reports: RefCell<UnboundedReceiver<Input>>,
    /// Wakes the work in progress.
    woken: RefCell<Option<UnboundedSender<Wake>>>,
    /// Waiters for the end of the work in progress.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

/// Wakes the work in progress: the engine's alarm may be due, and these effects must be carried out.
struct Wake(Vec<Effect>);

/// Running tasks, each with its input for the engine, if it has one.
type RunningTasks<'a> = FuturesUnordered<LocalBoxFuture<'a, Option<Input>>>;

impl<A: Jobs> AgentWorker<A> {
    pub(super) fn open(sql: DurableSql, env: Env) -> Result<Self, OpenError> {
        let (level, format) = settings::log_settings(|name| variable(&env, name))?;
        log_to_console(level, format);
        let settings = settings::agent_settings::<A>(|name| variable(&env, name))?;
        let operators = Operators::read(|name| variable(&env, name))?;
        let given = settings::agent_keys(|name| variable(&env, name))?;
        let keys = match given {
            Some(keys) => keys,
            None => own_keys(&sql)?,
        };
        let key = keys.public_key();
        let blossom = settings::blossom_config(|name| variable(&env, name), &operators, Some(key), [])?;
        // Cloudflare routes by the host name, so it can be trusted.
        let rates = settings::rate_limits(|name| variable(&env, name))?;
        let routes = crate::assemble::agent_routes::<A>(&settings, operators, &keys, BTreeSet::new(), rates);
        let reach = settings.reach;
        let wallet = settings.wallet.wallet();
        let options = Options {
            polled_relays: settings.external_relays(),
            deliveries: DeliveryLimits::WORKER,
            ..settings.options(&settings.profile::<A>(keys.public_key()), wallet.as_deref())
        };
        let engine = JobEngine::open(sql, keys.clone(), runner::agent_spec::<A>(), options, now())?;
        let cache = Arc::new(StateCache::default());
        let readable = cache.shared(&engine.state());
        if let Err(error) = &readable {
            worker::console_error!("the agent cannot start: {error}. {REPAIR}");
        }
        let engine = Rc::new(RefCell::new(engine));
        let (sender, reports) = unbounded();
        let host = Arc::new(WorkerHandlerHost {
            keys: keys.clone(),
            reach,
            allowed_origins: settings.allowed_origins,
            variables: settings.declared,
            blossom,
            audit: AuditBucket::of(&env),
            env: env.clone(),
            engine: Rc::clone(&engine),
            reports: sender,
        });
        Ok(Self {
            env,
            engine,
            cache: Arc::clone(&cache),
            can_read_state: Cell::new(readable.is_ok()),
            services: Services::new(cache, host, wallet),
            routes,
            key,
            deliveries: Deliveries::new(reach, keys),
            calls: RefCell::default(),
            last_ticket: Cell::new(0),
            reports: RefCell::new(reports),
            woken: RefCell::new(None),
            waiting: RefCell::default(),
        })
    }

    /// Whether the agent can work: an earlier release may have stored a state that this one cannot read.
    pub(super) fn can_read_its_state(&self) -> bool {
        if !self.can_read_state.get() {
            let state = self.engine.borrow().state();
            self.can_read_state.set(self.cache.shared(&state).is_ok());
        }
        self.can_read_state.get()
    }

    /// Handles inputs as one batch.
    pub(super) fn handle(&self, inputs: &[Input]) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.engine.borrow_mut().handle_all(now(), inputs, &mut effects);
        effects
    }

    /// Passes a request to the engine, which calls the route with this index. Returns its response, or `None` if the agent is
    /// too busy.
    pub(super) fn call(
        &self,
        route: usize,
        request: RouteRequest,
    ) -> oneshot::Receiver<Option<RouteResponse>> {
        let ticket = self.last_ticket.get().wrapping_add(1);
        self.last_ticket.set(ticket);
        let (call, responded) = oneshot::channel();
        self.calls.borrow_mut().insert(ticket, call);
        let effects = self.handle(&[Input::RouteRequest { route, request, ticket }]);
        self.wake(effects);
        responded
    }

    /// Tells the work in progress, if any, that there is more to do. Work that starts later finds it in the engine.
    pub(super) fn wake(&self, effects: Vec<Effect>) {
        if let Some(woken) = &*self.woken.borrow() {
            let _ = woken.unbounded_send(Wake(effects));
        }
    }

    /// Whether work is in progress.
    pub(super) fn is_working(&self) -> bool {
        self.woken.borrow().is_some()
    }

    /// Waits for the end of the work in progress. Returns whether there was any. It waits only once, since each may
    /// take most of the time that the runtime gives an alarm.
    pub(super) async fn waited_for_other(&self) -> bool {
        if !self.is_working() {
            return false;
        }
        let (done, ended) = oneshot::channel();
        self.waiting.borrow_mut().push(done);
        let _ = ended.await;
        true
    }

    /// Does what is due, unless work is in progress: that was told by [`wake`](Self::wake), and the alarm does what
    /// it leaves.
    pub(super) async fn work_unless_working(&self) {
        if !self.is_working() {
            self.work().await;
        }
    }

    /// Does what is due, until nothing more can be done now. Returns whether there was anything to do.
    // Only this function takes reports, and it never runs twice at a time.
    #[expect(clippy::await_holding_refcell_ref, reason = "only the one work that goes on borrows it")]
    pub(super) async fn work(&self) -> bool {
        let (sender, mut woken) = unbounded();
        let _working = WorkGuard::begin(self, sender);
        let Ok(mut reports) = self.reports.try_borrow_mut() else { return false };
        let (began, mut did_work) = (now(), false);
        let going: RunningTasks<'_> = FuturesUnordered::new();
        let mut going = going;
        // Deliveries to the agent's own relay, each with an input for every event.
        let mut own: FuturesUnordered<LocalBoxFuture<'_, Vec<Input>>> = FuturesUnordered::new();
        let mut external: RunningTasks<'_> = FuturesUnordered::new();
        loop {
            for effect in self.due(began, !going.is_empty()) {
                did_work = true;
                self.begin(effect, &going);
            }
            if let Some(next) = self.deliveries.next_own(own.len()) {
                own.push(deliver(&self.env, next).boxed_local());
            }
            while let Some(next) = self.deliveries.next_external(external.len()) {
                external.push(self.deliveries.deliver_external(&self.env, next).map(Some).boxed_local());
            }
            if going.is_empty() && own.is_empty() && external.is_empty() {
                break;
            }
            did_work = true;
            let inputs: Vec<Input> = select_biased! {
                inputs = own.select_next_some() => inputs,
                // A run's reports come before its outcome.
                input = reports.select_next_some() => vec![input],
                input = going.select_next_some() => input.into_iter().collect(),
                input = external.select_next_some() => input.into_iter().collect(),
                Wake(effects) = woken.select_next_some() => {
                    effects.into_iter().for_each(|effect| self.begin(effect, &going));
                    continue;
                }
                // While handlers run, leases expire, and reports and schedules become due.
                () = self.next_due(began).fuse() => continue,
            };
            for effect in self.handle(&inputs) {
                self.begin(effect, &going);
            }
        }
        // An open connection would keep the object from hibernating.
        self.deliveries.hang_up().await;
        did_work
    }

    /// The effects that are due. After [`ALARM_SPAN`] no more runs start; as long as one is running, its reports are
    /// still published.
    fn due(&self, began: Timestamp, waits: bool) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut engine = self.engine.borrow_mut();
        if engine.next_alarm().is_some_and(|at| at <= now()) {
            if began.until(now()) < ALARM_SPAN {
                engine.alarm(now(), &mut effects);
            } else if waits {
                engine.wind_down(now(), &mut effects);
            }
        }
        effects
    }

    /// Completes when the engine's alarm is due.
    fn next_due(&self, began: Timestamp) -> LocalBoxFuture<'static, ()> {
        let over = began.until(now()) >= ALARM_SPAN;
        match self.engine.borrow().next_alarm() {
            Some(at) if !over => crate::clock::sleep(now().until(at)).boxed_local(),
            // A run that may not start any more would be due all the time.
            Some(at) => crate::clock::sleep(now().until(at).max(Duration::from_secs(1))).boxed_local(),
            None => std::future::pending().boxed_local(),
        }
    }

    /// Starts carrying out an effect.
    fn begin(&self, effect: Effect, going: &RunningTasks<'_>) {
        match self.services.carry_out(now(), effect) {
            Some(HostAction::Run(work) | HostAction::Await(work)) => going.push(work),
            Some(HostAction::Publish { entry, event, to }) => self.deliveries.push(entry, event, to),
            Some(HostAction::Respond { ticket, response }) => {
                if let Some(call) = self.calls.borrow_mut().remove(&ticket) {
                    let _ = call.send(response);
                }
            }
            Some(HostAction::Warn(warning)) => worker::console_warn!("{warning}"),
            // Their callers have taken these from the effects already.
            Some(HostAction::Confirm { .. } | HostAction::Reply { .. }) | None => {}
        }
    }
}

/// Work in progress. When it ends, in whatever way, the waiters continue.
struct WorkGuard<'a, A>(&'a AgentWorker<A>);

impl<'a, A> WorkGuard<'a, A> {
    fn begin(agent: &'a AgentWorker<A>, woken: UnboundedSender<Wake>) -> Self {
        *agent.woken.borrow_mut() = Some(woken);
        Self(agent)
    }
}

impl<A> Drop for WorkGuard<'_, A> {
    fn drop(&mut self) {
        *self.0.woken.borrow_mut() = None;
        for waiting in self.0.waiting.take() {
            let _ = waiting.send(());
        }
    }
}
