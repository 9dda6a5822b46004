//! The agent's host in a test: feeds the engine, carries out its effects, and moves the virtual clock.

use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::Arc;

use openagents_host::native::Sqlite;
use openagents_host::{Engine, EventId, Keys, Kind, SqlError, Timestamp, VerifiedEvent};
use openagents_relay::{Filter, Outcome};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::clock::Clock;
use super::failure::{OrFail, fail};
use super::handler_host::{HostRequest, TestHandlerHost};
use super::idle::Idle;
use super::provider::TestProvider;
use super::relay::TestRelay;
use crate::author::agent::Jobs;
use crate::engine::{
    Delivery, Destination, Effect, Input, JobDetails, JobEngine, JobState, Options, StateQuery, StateReply,
};
use crate::host_port::HandlerHost;
use crate::payment::wallet::Wallet;
use crate::route::{RouteRequest, RouteResponse};
use crate::runner::{self, HostAction, Services, StateCache};

/// How often an engine may be called again without time passing.
const MAX_RINGS: u32 = 100_000;

/// How long the agent runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// Until nothing more happens without time passing.
    Idle,
    /// Until no handler is running.
    Settled,
    /// Until this time.
    At(Timestamp),
    /// Until this job has ended, or this time.
    Ended(EventId, Timestamp),
    /// Until the HTTP request with this ticket has its response.
    Responded(u64),
}

pub(super) struct TestHost<A> {
    pub(super) engine: JobEngine<Sqlite>,
    pub(super) relay: TestRelay,
    /// External relays, by URL.
    external: BTreeMap<String, TestRelay>,
    providers: Vec<TestProvider>,
    /// What providers are going to say.
    answers: JoinSet<()>,
    /// The responses to HTTP requests, by ticket; `None` for requests that had to wait for too long.
    responses: BTreeMap<u64, Option<RouteResponse>>,
    last_ticket: u64,
    pub(super) warnings: Vec<String>,
    pub(super) clock: Clock,
    pub(super) keys: Keys,
    options: Options,
    services: Services<A>,
    host: Arc<TestHandlerHost>,
    requests: mpsc::UnboundedReceiver<HostRequest>,
    wallet: Option<Arc<dyn Wallet>>,
    /// Running handlers and pending wallet calls.
    work: JoinSet<Option<Input>>,
    idle: Idle,
}

/// What a test host is made of.
pub(super) struct TestHostConfig {
    pub(super) sql: Sqlite,
    pub(super) clock: Clock,
    pub(super) idle: Idle,
    pub(super) wallet: Option<Arc<dyn Wallet>>,
    pub(super) providers: Vec<TestProvider>,
    pub(super) host: TestHandlerHost,
    pub(super) requests: mpsc::UnboundedReceiver<HostRequest>,
}

/// The next thing that happened.
enum Next {
    HostRequest(HostRequest),
    Ended(Result<Option<Input>, JoinError>),
    Due,
    Idle,
}

impl<A: Jobs> TestHost<A> {
    #[track_caller]
    pub(super) fn set(props: TestHostConfig) -> Self {
        let TestHostConfig { sql, clock, idle, wallet, providers, host, requests } = props;
        let keys = host.keys.clone();
        let host = Arc::new(host);
        let options = Options { wallet: wallet.as_deref().map(Wallet::features), ..Options::default() };
        Self {
            engine: open::<A>(sql, &keys, &options, &clock),
            relay: TestRelay::open::<A>(),
            external: BTreeMap::new(),
            providers,
            answers: JoinSet::new(),
            responses: BTreeMap::new(),
            last_ticket: 0,
            warnings: Vec::new(),
            clock,
            keys,
            options,
            services: services(&host, &wallet),
            host,
            requests,
            wallet,
            work: JoinSet::new(),
            idle,
        }
    }

    /// Drops everything in memory, including running handlers, and starts again on the same database.
    #[track_caller]
    pub(super) fn evict(&mut self) {
        self.work = JoinSet::new();
        while self.requests.try_recv().is_ok() {}
        self.services = services(&self.host, &self.wallet);
        self.engine = open::<A>(self.engine.sql().clone(), &self.keys, &self.options, &self.clock);
    }

    /// Like hibernation: drops everything in memory if nothing is in progress.
    pub(super) fn forget(&mut self) {
        self.engine.forget(self.clock.now());
        self.services.forget_state();
    }

    /// Runs the agent.
    pub(super) async fn go(&mut self, mut until: Until) {
        loop {
            self.do_due();
            if self.is_reached(until) {
                until = Until::Idle;
            }
            let due = self.engine.next_alarm();
            let pause = match until {
                Until::Idle => None,
                Until::Settled | Until::Responded(_) => due,
                Until::At(at) | Until::Ended(_, at) => Some(due.map_or(at, |due| due.min(at))),
            };
            match self.next(pause, matches!(until, Until::Idle)).await {
                Next::Idle => return,
                Next::Due => {}
                Next::HostRequest(request) => self.grant(request),
                Next::Ended(Ok(Some(input))) => self.feed(input),
                Next::Ended(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
                // It was aborted.
                Next::Ended(Ok(None) | Err(_)) => {}
            }
        }
    }

    /// Passes an event to the agent's own relay, and from there to the agent if it concerns it.
    pub(super) fn publish(&mut self, event: &VerifiedEvent) -> Outcome {
        let published = self.relay.publish(self.clock.now(), event);
        self.show_providers(None);
        if let Some(event) = published.handed_over {
            self.feed(Input::Request { event, source: None, ticket: 0 });
        }
        published.outcome
    }

    /// The events on an external relay, in order of arrival.
    pub(super) fn external_events(&self, relay: &str) -> &[VerifiedEvent] {
        self.external.get(relay.trim_end_matches('/')).map_or(&[], TestRelay::accepted)
    }

    /// Puts an event on an external relay.
    pub(super) fn publish_external(&mut self, relay: &str, event: &VerifiedEvent) {
        let now = self.clock.now();
        self.external_relay(relay).publish(now, event);
        self.show_providers(Some(relay));
    }

    /// An external relay, which exists from its first use.
    fn external_relay(&mut self, url: &str) -> &mut TestRelay {
        let url = url.trim_end_matches('/');
        self.external.entry(url.to_owned()).or_insert_with(TestRelay::accepting_everything::<A>)
    }

    fn relay_at(&mut self, url: Option<&str>) -> &mut TestRelay {
        match url {
            Some(url) => self.external_relay(url),
            None => &mut self.relay,
        }
    }

    /// Lets the providers answer what is new on a relay.
    fn show_providers(&mut self, relay: Option<&str>) {
        let new = self.relay_at(relay).take_new();
        for (event, provider) in new.iter().flat_map(|event| self.providers.iter().map(move |p| (event, p))) {
            let answers = provider.answers(event);
            if answers.is_empty() {
                continue;
            }
            let (keys, requests) = (provider.keys().clone(), self.host.requests.clone());
            let relay = relay.map(str::to_owned);
            self.answers.spawn(async move {
                for (pause, event) in answers {
                    tokio::time::sleep(pause).await;
                    let (keys, relay) = (keys.clone(), relay.clone());
                    let _ = requests.send(HostRequest::Provide { keys, event, relay });
                }
            });
        }
    }

    /// Passes an event from an external relay to the agent.
    pub(super) fn receive(&mut self, relay: &str, event: VerifiedEvent) {
        self.feed(Input::Request { event, source: Some(relay.to_owned()), ticket: 0 });
    }

    /// Passes a request to the route with this index. Returns the ticket of its response.
    pub(super) fn call(&mut self, route: usize, request: RouteRequest) -> u64 {
        self.last_ticket = self.last_ticket.saturating_add(1);
        let ticket = self.last_ticket;
        self.feed(Input::RouteRequest { route, request, ticket });
        ticket
    }

    /// Takes the response with this ticket.
    pub(super) fn take_response(&mut self, ticket: u64) -> Option<RouteResponse> {
        self.responses.remove(&ticket).flatten()
    }

    /// Queries the agent's database.
    pub(super) fn query_state(&mut self, query: StateQuery) -> Result<StateReply, SqlError> {
        let mut effects = Vec::new();
        self.engine.handle(self.clock.now(), &Input::Query { query, ticket: 0 }, &mut effects);
        let answer = effects.into_iter().find_map(|effect| match effect {
            Effect::QueryReply { answer, .. } => Some(answer),
            _ => None,
        });
        answer.unwrap_or_else(|| fail(format_args!("the agent's engine did not reply")))
    }

    /// The state of a job; `None` if it is unknown.
    pub(super) fn job_state(&mut self, id: EventId) -> Option<JobState> {
        let job: Option<JobDetails> = self.query_state(StateQuery::Job { id }).ok()?.try_into().ok()?;
        Some(job?.summary.state)
    }

    fn is_reached(&mut self, until: Until) -> bool {
        match until {
            Until::Idle => false,
            Until::Settled => self.work.is_empty() && self.answers.is_empty() && self.requests.is_empty(),
            Until::Responded(ticket) => self.responses.contains_key(&ticket),
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
            // A run's reports come before its outcome.
            Some(request) = self.requests.recv() => Next::HostRequest(request),
            Some(ended) = self.work.join_next() => Next::Ended(ended),
            Some(_) = self.answers.join_next() => Next::Due,
            () = pause => Next::Due,
            () = self.idle.reached(), if or_idle => Next::Idle,
        }
    }

    fn grant(&mut self, request: HostRequest) {
        // The run that made the request may have been aborted meanwhile.
        match request {
            HostRequest::Tell(input) => self.feed(input),
            HostRequest::Ask(query, answer) => drop(answer.send(self.query_state(query))),
            HostRequest::ExternalEvents(relay, filters, answer) => {
                let events = self.external_events(&relay).iter();
                let found = events.filter(|event| filters.iter().any(|filter| filter.matches(event)));
                drop(answer.send(found.cloned().collect()));
            }
            HostRequest::Connect(relay, answer) => {
                let now = self.clock.now();
                drop(answer.send(self.relay_at(relay.as_deref()).connect(now)));
            }
            HostRequest::Message { relay, connection, text } => {
                let now = self.clock.now();
                let concerning = self.relay_at(relay.as_deref()).receive(now, connection, &text);
                self.show_providers(relay.as_deref());
                for event in concerning.into_iter().filter(|_| relay.is_none()) {
                    self.feed(Input::Request { event, source: None, ticket: 0 });
                }
            }
            HostRequest::Disconnect { relay, connection } => {
                let now = self.clock.now();
                self.relay_at(relay.as_deref()).disconnect(now, connection);
            }
            HostRequest::Provide { keys, event, relay } => {
                let event = event.sign(&keys, self.clock.now());
                match relay {
                    Some(relay) => self.publish_external(&relay, &event),
                    None => drop(self.publish(&event)),
                }
            }
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

    /// Carries out an effect. Returns inputs to feed at once.
    fn apply(&mut self, effect: Effect) -> Vec<Input> {
        match self.services.carry_out(self.clock.now(), effect) {
            Some(HostAction::Run(work) | HostAction::Await(work)) => drop(self.work.spawn(work)),
            Some(HostAction::Publish { entry, event, to }) => return self.deliver(entry, &event, to),
            Some(HostAction::Confirm { result: Err(error), .. }) => {
                self.warn(format!("an event could not be stored: {error}"));
            }
            Some(HostAction::Respond { ticket, response }) => drop(self.responses.insert(ticket, response)),
            Some(HostAction::Warn(warning)) => self.warn(warning),
            Some(HostAction::Confirm { .. } | HostAction::Reply { .. }) | None => {}
        }
        Vec::new()
    }

    fn deliver(&mut self, entry: u64, event: &VerifiedEvent, to: Destination) -> Vec<Input> {
        let mut inputs = Vec::new();
        let delivery = match to {
            Destination::Own => {
                let published = self.relay.publish(self.clock.now(), event);
                self.show_providers(None);
                let request = published.handed_over;
                inputs.extend(request.map(|event| Input::Request { event, source: None, ticket: 0 }));
                match published.outcome {
                    Outcome::Accepted | Outcome::Duplicate => Delivery::Accepted,
                    Outcome::Refused(reason) => Delivery::refused(&reason),
                }
            }
            Destination::Relay(url) => {
                self.publish_external(&url, event);
                Delivery::Accepted
            }
            Destination::ReadBy { .. } => Delivery::Accepted,
            Destination::Inbox { receiver } => {
                let filter = Filter::new().kinds([Kind::DIRECT_MESSAGE_RELAYS.0]).authors([receiver]);
                let lists = self.relay.query(self.clock.now(), vec![filter]).unwrap_or_default();
                let relays = lists.first().map(|list| list.tag_values("relay").map(str::to_owned).collect());
                Delivery::ReadFrom(relays.unwrap_or_default())
            }
        };
        inputs.push(Input::Delivered { entry, delivery });
        inputs
    }

    fn warn(&mut self, warning: String) {
        tracing::warn!("{warning}");
        self.warnings.push(warning);
    }
}

/// New services, with nothing of the agent in memory.
fn services<A: Jobs>(host: &Arc<TestHandlerHost>, wallet: &Option<Arc<dyn Wallet>>) -> Services<A> {
    let host: Arc<dyn HandlerHost> = Arc::clone(host) as _;
    Services::new(Arc::default(), host, wallet.clone())
}

#[track_caller]
fn open<A: Jobs>(sql: Sqlite, keys: &Keys, options: &Options, clock: &Clock) -> JobEngine<Sqlite> {
    let spec = runner::agent_spec::<A>();
    let engine = JobEngine::open(sql, keys.clone(), spec, options.clone(), clock.now());
    let engine = engine.or_fail("the agent cannot start");
    // Report an unreadable state now, as a deployment does, not at the first job.
    StateCache::<A>::default().shared(&engine.state()).or_fail("the agent cannot start");
    engine
}
