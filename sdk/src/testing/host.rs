//! The agent's host in a test: feeds its engine and carries out what the engine wants, with time that passes when told.

use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::Arc;

use openagents_host::native::Sqlite;
use openagents_host::{Engine, Event, EventId, Keys, Timestamp, VerifiedEvent};
use openagents_relay::{Filter, Outcome};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::clock::Clock;
use super::failure::{OrFail, fail};
use super::handler_host::{HostRequest, TestHandlerHost};
use super::idle::Idle;
use super::relay::OwnRelay;
use crate::author::agent::Jobs;
use crate::engine::{
    Delivery, Destination, Effect, Input, JobEngine, JobState, Lease, Options, RunId, StateQuery,
    WantedOutput,
};
use crate::host_port::HandlerHost;
use crate::payment::wallet::{Settlement, Wallet};
use crate::runner::{self, StateCache};

/// How often an engine may want to be called again without time passing.
const MAX_RINGS: u32 = 100_000;

/// How long a test lets the agent work.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// Until nothing can go on without time passing.
    Idle,
    /// Until nothing is at work.
    Settled,
    /// Until this time.
    At(Timestamp),
    /// Until this job has ended, or this time.
    Ended(EventId, Timestamp),
}

pub(super) struct TestHost<A> {
    pub(super) engine: JobEngine<Sqlite>,
    pub(super) relay: OwnRelay,
    /// What external relays have, by their URLs.
    pub(super) outside: BTreeMap<String, Vec<VerifiedEvent>>,
    pub(super) warnings: Vec<String>,
    pub(super) clock: Clock,
    pub(super) keys: Keys,
    options: Options,
    cache: Arc<StateCache<A>>,
    host: Arc<TestHandlerHost>,
    requests: mpsc::UnboundedReceiver<HostRequest>,
    wallet: Option<Arc<dyn Wallet>>,
    /// What is at work: runs, and questions to the wallet.
    work: JoinSet<Input>,
    /// The runs among it.
    runs: BTreeMap<RunId, (u32, AbortHandle)>,
    idle: Idle,
}

/// What a test host is made of.
pub(super) struct TestHostConfig {
    pub(super) sql: Sqlite,
    pub(super) clock: Clock,
    pub(super) idle: Idle,
    pub(super) wallet: Option<Arc<dyn Wallet>>,
    pub(super) host: TestHandlerHost,
    pub(super) requests: mpsc::UnboundedReceiver<HostRequest>,
}

/// What happened next.
enum Next {
    HostRequest(HostRequest),
    Ended(Result<Input, JoinError>),
    Due,
    Idle,
}

impl<A: Jobs> TestHost<A> {
    #[track_caller]
    pub(super) fn set(props: TestHostConfig) -> Self {
        let TestHostConfig { sql, clock, idle, wallet, host, requests } = props;
        let keys = host.keys.clone();
        let options = Options { wallet: wallet.is_some(), ..Options::default() };
        Self {
            engine: open::<A>(sql, &keys, &options, &clock),
            relay: OwnRelay::open::<A>(),
            outside: BTreeMap::new(),
            warnings: Vec::new(),
            clock,
            keys,
            options,
            cache: Arc::default(),
            host: Arc::new(host),
            requests,
            wallet,
            work: JoinSet::new(),
            runs: BTreeMap::new(),
            idle,
        }
    }

    /// Loses all that is only in memory, with what is at work, and starts again on the same database.
    #[track_caller]
    pub(super) fn evict(&mut self) {
        self.work = JoinSet::new();
        self.runs.clear();
        while self.requests.try_recv().is_ok() {}
        self.cache = Arc::default();
        self.engine = open::<A>(self.engine.sql().clone(), &self.keys, &self.options, &self.clock);
    }

    /// Forgets what is only in memory if nothing is under way, as a host that hibernates.
    pub(super) fn forget(&mut self) {
        self.engine.forget(self.clock.now());
        self.cache = Arc::default();
    }

    /// Works.
    pub(super) async fn go(&mut self, mut until: Until) {
        loop {
            self.do_due();
            if self.is_reached(until) {
                until = Until::Idle;
            }
            let due = self.engine.next_alarm();
            let pause = match until {
                Until::Idle => None,
                Until::Settled => due,
                Until::At(at) | Until::Ended(_, at) => Some(due.map_or(at, |due| due.min(at))),
            };
            match self.next(pause, matches!(until, Until::Idle)).await {
                Next::Idle => return,
                Next::Due => {}
                Next::HostRequest(request) => self.grant(request),
                Next::Ended(Ok(input)) => {
                    if let Input::Finished { lease, .. } = &input {
                        self.forget_run(*lease);
                    }
                    self.feed(input);
                }
                Next::Ended(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
                // It was aborted.
                Next::Ended(Err(_)) => {}
            }
        }
    }

    /// Brings an event to the agent's own relay, and from there to the agent if it is for it.
    pub(super) fn publish(&mut self, event: &VerifiedEvent) -> Outcome {
        let published = self.relay.publish(self.clock.now(), event);
        if let Some(event) = published.handed_over {
            self.feed(Input::Request { event, source: None, ticket: 0 });
        }
        published.outcome
    }

    /// Brings an event from an external relay to the agent.
    pub(super) fn receive(&mut self, relay: &str, event: VerifiedEvent) {
        self.feed(Input::Request { event, source: Some(relay.to_owned()), ticket: 0 });
    }

    /// Asks the agent's database.
    pub(super) fn query_state(&mut self, query: StateQuery) -> Result<Value, String> {
        let mut effects = Vec::new();
        self.engine.handle(self.clock.now(), &Input::Query { query, ticket: 0 }, &mut effects);
        let answer = effects.into_iter().find_map(|effect| match effect {
            Effect::QueryReply { answer, .. } => Some(answer),
            _ => None,
        });
        answer.unwrap_or_else(|| Err("the agent's engine gave no answer".to_owned()))
    }

    /// How a job stands; nothing when it is not on record.
    pub(super) fn job_state(&mut self, id: EventId) -> Option<JobState> {
        let job = self.query_state(StateQuery::Job { id }).ok()?;
        job.get("state")?.as_str()?.parse().ok()
    }

    fn is_reached(&mut self, until: Until) -> bool {
        match until {
            Until::Idle => false,
            Until::Settled => self.work.is_empty() && self.requests.is_empty(),
            Until::At(at) => at <= self.clock.now(),
            Until::Ended(job, at) => {
                at <= self.clock.now() || self.job_state(job).is_none_or(JobState::is_final)
            }
        }
    }

    async fn next(&mut self, pause: Option<Timestamp>, or_idle: bool) -> Next {
        let pause = async {
            match pause {
                Some(at) => self.clock.reaches(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // What a run says comes before how it ended.
            Some(request) = self.requests.recv() => Next::HostRequest(request),
            Some(ended) = self.work.join_next() => Next::Ended(ended),
            () = pause => Next::Due,
            () = self.idle.reached(), if or_idle => Next::Idle,
        }
    }

    fn grant(&mut self, request: HostRequest) {
        // Whoever wished may have been aborted since.
        match request {
            HostRequest::Tell(input) => self.feed(input),
            HostRequest::Ask(query, answer) => drop(answer.send(self.query_state(query))),
            HostRequest::Query(filters, answer) => {
                drop(answer.send(self.relay.query(self.clock.now(), filters)));
            }
        }
    }

    fn do_due(&mut self) {
        let mut rings = 0_u32;
        while self.engine.next_alarm().is_some_and(|at| at <= self.clock.now()) {
            let mut effects = Vec::new();
            self.engine.alarm(self.clock.now(), &mut effects);
            for effect in effects {
                for input in self.apply(effect) {
                    self.feed(input);
                }
            }
            rings = rings.saturating_add(1);
            if rings > MAX_RINGS {
                fail(format_args!("the agent always has something to do at {}", self.clock.now()));
            }
        }
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut effects = Vec::new();
            self.engine.handle(self.clock.now(), &input, &mut effects);
            for effect in effects {
                if let (Input::Request { event, .. }, Effect::Taken { result: Ok(_), .. }) = (&input, &effect)
                {
                    self.relay.delivered(self.clock.now(), event.id);
                }
                inputs.extend(self.apply(effect));
            }
        }
    }

    /// Carries out what the engine wants, and gives what it is to be told at once.
    fn apply(&mut self, effect: Effect) -> Vec<Input> {
        match effect {
            Effect::Taken { result: Ok(_), .. } | Effect::QueryReply { .. } => {}
            Effect::Taken { result: Err(error), .. } => {
                self.warn(format!("an event could not be recorded: {error}"));
            }
            Effect::Run { lease, task, state } => {
                let host: Arc<dyn HandlerHost> = Arc::clone(&self.host) as _;
                let (cache, now) = (Arc::clone(&self.cache), self.clock.now());
                let run =
                    self.work.spawn(async move { runner::run(&cache, host, now, lease, task, state).await });
                self.runs.insert(lease.run, (lease.attempt, run));
            }
            Effect::Abort { lease } => {
                if let Some((_, run)) = self.forget_run(lease) {
                    run.abort();
                }
            }
            Effect::Quote { job, handler, request, state } => {
                return vec![runner::quote(&self.cache, job, handler, &request, &state)];
            }
            Effect::Resolve { job, wanted } => {
                return vec![Input::Resolved { job, events: self.outputs(&wanted) }];
            }
            Effect::Invoice { job, request } => {
                let wallet = self.wallet.clone();
                self.work.spawn(async move {
                    let invoice = match wallet {
                        Some(wallet) => wallet.invoice(&request).await.map_err(|error| error.to_string()),
                        None => Err("this agent has no wallet".to_owned()),
                    };
                    Input::Invoiced { job, invoice }
                });
            }
            Effect::Settlement { job, invoice } => {
                let wallet = self.wallet.clone();
                self.work.spawn(async move {
                    let settlement = match wallet {
                        Some(wallet) => wallet.settlement(&invoice).await.unwrap_or(Settlement::Pending),
                        None => Settlement::Pending,
                    };
                    Input::Settled { job, settlement }
                });
            }
            Effect::Publish { entry, event, to } => return self.deliver(entry, event, to),
            Effect::Warn(warning) => self.warn(warning),
            // A test brings events from outside itself.
            Effect::Poll { .. } => {}
        }
        Vec::new()
    }

    fn deliver(&mut self, entry: u64, event: VerifiedEvent, to: Destination) -> Vec<Input> {
        let mut inputs = Vec::new();
        let delivery = match to {
            Destination::Own => {
                let published = self.relay.publish(self.clock.now(), &event);
                let request = published.handed_over;
                inputs.extend(request.map(|event| Input::Request { event, source: None, ticket: 0 }));
                match published.outcome {
                    Outcome::Accepted | Outcome::Duplicate => Delivery::Accepted,
                    Outcome::Refused(reason) => Delivery::Refused(reason.to_string()),
                }
            }
            Destination::Relay(url) => {
                self.outside.entry(url).or_default().push(event);
                Delivery::Accepted
            }
            Destination::ReadBy { .. } => Delivery::Accepted,
        };
        inputs.push(Input::Delivered { entry, delivery });
        inputs
    }

    /// What could be one of these outputs, on the agent's own relay and on those where they may be.
    fn outputs(&mut self, wanted: &[WantedOutput]) -> Vec<Event> {
        let ids: Vec<EventId> = wanted.iter().map(|wanted| wanted.event).collect();
        let named = Filter::new().ids(ids.iter().copied());
        let results = Filter::new().tag('e', ids.iter().map(EventId::to_hex));
        let filters: Vec<Filter> = [Some(named), results.ok()].into_iter().flatten().collect();
        let relays = wanted.iter().flat_map(|wanted| &wanted.relays);
        let outside = relays.filter_map(|url| self.outside.get(url.trim_end_matches('/'))).flatten();
        let outside = outside.filter(|event| filters.iter().any(|filter| filter.matches(event)));
        let mut events: Vec<Event> = outside.map(|event| (**event).clone()).collect();
        events.extend(self.relay.query(self.clock.now(), filters).unwrap_or_default());
        events
    }

    fn forget_run(&mut self, lease: Lease) -> Option<(u32, AbortHandle)> {
        let is_it = self.runs.get(&lease.run).is_some_and(|(attempt, _)| *attempt == lease.attempt);
        if is_it { self.runs.remove(&lease.run) } else { None }
    }

    fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        self.warnings.push(warning);
    }
}

#[track_caller]
fn open<A: Jobs>(sql: Sqlite, keys: &Keys, options: &Options, clock: &Clock) -> JobEngine<Sqlite> {
    let spec = runner::agent_spec::<A>();
    let engine = JobEngine::open(sql, keys.clone(), spec, options.clone(), clock.now());
    let engine = engine.or_fail("the agent cannot start");
    // As a deployment does: better now than at the first job.
    StateCache::<A>::default().shared(&engine.state()).or_fail("the agent cannot start");
    engine
}
