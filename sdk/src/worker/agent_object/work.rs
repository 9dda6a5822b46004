//! Carries out what is due in the agent's object, until nothing more can be done now.

use std::cell::RefCell;
use std::collections::BTreeSet;
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
use openagents_host::{Engine, Timestamp};
use worker::Env;

use super::deliveries::{Deliveries, deliver};
use super::handler_host::WorkerHandlerHost;
use super::own_key::{OwnKeyError, own_keys};
use crate::author::agent::Jobs;
use crate::engine::{Effect, Input, JobEngine, Options};
use crate::http::AgentRoutes;
use crate::runner::{self, HostAction, Services, StateCache, StateError};
use crate::settings::{self, Operators, SettingError};
use crate::worker::variable;

/// How long one alarm takes up new jobs. The runtime ends it after 15 minutes, and a job may take 10.
const ALARM_SPAN: Duration = Duration::from_secs(4 * 60);

/// Why an agent's object cannot work.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    Key(#[from] OwnKeyError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// An agent's object that can work.
pub(super) struct AgentWorker<A> {
    env: Env,
    pub(super) engine: Rc<RefCell<JobEngine<DurableSql>>>,
    services: Services<A>,
    pub(super) routes: AgentRoutes,
    deliveries: Deliveries,
    /// What the engine is to be told by those that work for it.
    reports: RefCell<UnboundedReceiver<Input>>,
    /// Tells the work that is going on that there is more.
    woken: RefCell<Option<UnboundedSender<Wake>>>,
    /// Who waits for the work that is going on to end.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

/// Wakes the work that is going on: its engine's alarm may be due, and there are these effects to carry out, if any.
struct Wake(Vec<Effect>);

/// Something that is going on, and what it tells the engine in the end, if anything.
type RunningTasks<'a> = FuturesUnordered<LocalBoxFuture<'a, Option<Input>>>;

impl<A: Jobs> AgentWorker<A> {
    pub(super) fn open(sql: DurableSql, env: Env) -> Result<Self, OpenError> {
        let settings = settings::agent_settings::<A>(|name| variable(&env, name))?;
        let operators = Operators::read(|name| variable(&env, name))?;
        let given = settings::agent_keys(|name| variable(&env, name))?;
        let keys = match given {
            Some(keys) => keys,
            None => own_keys(&sql)?,
        };
        // Cloudflare routes by the host name, so that it vouches for it.
        let routes = crate::assemble::agent_routes::<A>(&settings, operators, &keys, BTreeSet::new());
        let reach = settings.reach;
        let options = Options {
            polled_relays: settings.external_relays(),
            ..settings.options(&settings.profile::<A>(keys.public_key()), false)
        };
        let engine = JobEngine::open(sql, keys.clone(), runner::agent_spec::<A>(), options, now())?;
        let cache = Arc::new(StateCache::default());
        cache.shared(&engine.state())?;
        let engine = Rc::new(RefCell::new(engine));
        let (sender, reports) = unbounded();
        let host = Arc::new(WorkerHandlerHost {
            keys,
            reach,
            env: env.clone(),
            engine: Rc::clone(&engine),
            reports: sender,
        });
        Ok(Self {
            env,
            engine,
            services: Services::new(cache, host, None),
            routes,
            deliveries: Deliveries::new(reach),
            reports: RefCell::new(reports),
            woken: RefCell::new(None),
            waiting: RefCell::default(),
        })
    }

    pub(super) fn handle(&self, input: &Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.engine.borrow_mut().handle(now(), input, &mut effects);
        effects
    }

    /// Tells the work that is going on, if any, that there is more to do. Work that begins later finds it in the engine.
    pub(super) fn wake(&self, effects: Vec<Effect>) {
        if let Some(woken) = &*self.woken.borrow() {
            let _ = woken.unbounded_send(Wake(effects));
        }
    }

    /// Whether somebody works.
    pub(super) fn is_working(&self) -> bool {
        self.woken.borrow().is_some()
    }

    /// Completes when the work that goes on has ended; says whether any did. It waits for one only: each may take most of
    /// the time that the runtime gives an alarm.
    pub(super) async fn waited_for_other(&self) -> bool {
        if !self.is_working() {
            return false;
        }
        let (done, ended) = oneshot::channel();
        self.waiting.borrow_mut().push(done);
        let _ = ended.await;
        true
    }

    /// Does what is due, unless that goes on already. Whoever works was told by [`wake`](Self::wake), and what it leaves is
    /// the alarm's.
    pub(super) async fn work_unless_working(&self) {
        if !self.is_working() {
            self.work().await;
        }
    }

    /// Does what is due, until nothing more can go on now. Returns whether there was anything to do.
    // Nobody else takes reports while this works, and this is never begun twice.
    #[expect(clippy::await_holding_refcell_ref, reason = "only the one work that goes on borrows it")]
    pub(super) async fn work(&self) -> bool {
        let (sender, mut woken) = unbounded();
        let _working = WorkGuard::begin(self, sender);
        let Ok(mut reports) = self.reports.try_borrow_mut() else { return false };
        let (began, mut did_work) = (now(), false);
        let going: RunningTasks<'_> = FuturesUnordered::new();
        let mut going = going;
        let mut own: RunningTasks<'_> = FuturesUnordered::new();
        let mut external: RunningTasks<'_> = FuturesUnordered::new();
        loop {
            for effect in self.due(began, !going.is_empty()) {
                did_work = true;
                self.begin(effect, &going);
            }
            while let Some(next) = self.deliveries.next_own(own.len()) {
                own.push(deliver(&self.env, next).map(Some).boxed_local());
            }
            while let Some(next) = self.deliveries.next_external(external.len()) {
                external.push(self.deliveries.deliver_external(&self.env, next).map(Some).boxed_local());
            }
            if going.is_empty() && own.is_empty() && external.is_empty() {
                break;
            }
            did_work = true;
            let input = select_biased! {
                input = own.select_next_some() => input,
                // What a run says comes before how it ended.
                input = reports.select_next_some() => Some(input),
                input = going.select_next_some() => input,
                input = external.select_next_some() => input,
                Wake(effects) = woken.select_next_some() => {
                    effects.into_iter().for_each(|effect| self.begin(effect, &going));
                    None
                }
                // Leases run out, reports and schedules come due, while handlers work.
                () = self.next_due(began).fuse() => None,
            };
            for effect in input.map(|input| self.handle(&input)).unwrap_or_default() {
                self.begin(effect, &going);
            }
        }
        // An open connection would keep the object from hibernating.
        self.deliveries.hang_up().await;
        did_work
    }

    /// What is due. After [`ALARM_SPAN`] nothing is begun any more; what there is to say is said as long as a run is
    /// waited for.
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
            // What may not begin any more can be due all the time.
            Some(at) => crate::clock::sleep(now().until(at).max(Duration::from_secs(1))).boxed_local(),
            None => std::future::pending().boxed_local(),
        }
    }

    /// Begins what the engine wants.
    fn begin(&self, effect: Effect, going: &RunningTasks<'_>) {
        match self.services.carry_out(now(), effect) {
            Some(HostAction::Run(work) | HostAction::Await(work)) => going.push(work),
            Some(HostAction::Publish { entry, event, to }) => self.deliveries.push(entry, event, to),
            Some(HostAction::Warn(warning)) => worker::console_warn!("{warning}"),
            // Whoever waits for these has taken them already.
            Some(HostAction::Confirm { .. } | HostAction::Reply { .. }) | None => {}
        }
    }
}

/// Work that is going on. When it ends, in whatever way, whoever waits goes on.
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
