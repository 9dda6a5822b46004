//! Runs an agent's engine in virtual time and records its effects. The invariants are checked after each input.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Engine, Event, EventId, Keys, Sql, Timestamp, VerifiedEvent};
use serde_json::Value;

use super::events::agent;
use super::probe::Probe;
use crate::declaration::{AgentDeclaration, JobDeclaration, PaymentTiming};
use crate::engine::job_state::JobState;
use crate::engine::unfinished::UnfinishedJobs;
use crate::engine::{
    AgentSpec, Changes, Delivery, DeliveryLimits, Destination, Effect, HandlerSpec, HoldEnd, HookSpec, Input,
    JobEngine, Lease, Options, Output, RequestAdmission, RunId, RunOutcome, StateQuery, StateReply, Task,
    WantedBlob,
};
use crate::nip90::{Cancellation, Feedback, JobResultEvent, Status};
use crate::payment::wallet::{Invoice, InvoiceRequest, WalletFeatures};
use crate::price::Price;
use crate::route::RouteResponse;

/// Free, runs concurrently.
pub(super) const SHARED: u16 = 5000;
/// Free, runs alone.
pub(super) const EXCLUSIVE: u16 = 5050;
/// Costs 21 sat.
pub(super) const PAID: u16 = 5100;
/// Has a price function.
pub(super) const QUOTED: u16 = 5200;
/// Costs 21 sat, held until there is a result.
pub(super) const HELD: u16 = 5300;
/// Costs 21 sat, paid for the result.
pub(super) const PAID_AFTER: u16 = 5400;
/// Costs 21 sat, but twice a day nothing.
pub(super) const PARTLY_FREE: u16 = 5500;

/// A wallet with hold invoices.
pub(super) const WALLET: WalletFeatures = WalletFeatures::new("test").with_hold_invoices();

pub(super) const START: Timestamp = Timestamp::from_seconds(1_700_000_000);
pub(super) const EXTERNAL: &str = "wss://outside.example";

/// A run in progress.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub(super) lease: Lease,
    pub(super) task: Task,
    pub(super) state: Option<String>,
}

pub(super) struct Bench {
    pub(super) engine: JobEngine<Probe>,
    pub(super) sql: Probe,
    pub(super) spec: AgentSpec,
    pub(super) options: Options,
    pub(super) now: Timestamp,
    pub(super) runs: Vec<Started>,
    pub(super) aborted: Vec<Lease>,
    pub(super) quotes: Vec<EventId>,
    /// The look-ups in progress: the job, the wanted outputs, and the external relays.
    pub(super) resolves: Vec<(EventId, Vec<EventId>, Vec<String>)>,
    /// The blobs that these look-ups are for as well.
    pub(super) blob_look_ups: Vec<(EventId, Vec<WantedBlob>)>,
    pub(super) invoices: Vec<(EventId, InvoiceRequest)>,
    pub(super) settlements: Vec<(EventId, Invoice)>,
    /// The held payments that the wallet is to take or return.
    pub(super) hold_ends: Vec<(EventId, HoldEnd)>,
    /// The published events, including repetitions.
    pub(super) published: Vec<(VerifiedEvent, Destination)>,
    pub(super) delivering: Vec<u64>,
    pub(super) admissions: Vec<RequestAdmission>,
    pub(super) answers: Vec<Result<StateReply, openagents_host::SqlError>>,
    pub(super) warnings: Vec<String>,
    /// The responses to HTTP requests, with their tickets.
    pub(super) responses: Vec<(u64, Option<RouteResponse>)>,
    states: BTreeMap<EventId, JobState>,
    /// Whether the database has jobs from a release that did not store answers.
    is_migrated: bool,
}

pub(super) fn failed(message: &str, retryable: bool) -> RunOutcome {
    RunOutcome::Failed { message: message.into(), retryable, pause: None }
}

pub(super) fn spec() -> AgentSpec {
    let handler = |kind, exclusive, price, quotes| HandlerSpec {
        declaration: JobDeclaration {
            price,
            processing_after: Duration::ZERO,
            ..JobDeclaration::new(kind, "handler")
        },
        exclusive,
        quotes,
    };
    let paid = |kind, change: fn(&mut JobDeclaration)| {
        let mut handler = handler(kind, false, Price::sat(21), false);
        change(&mut handler.declaration);
        handler
    };
    AgentSpec {
        declaration: AgentDeclaration::new("tester"),
        handlers: vec![
            handler(SHARED, false, Price::FREE, false),
            handler(EXCLUSIVE, true, Price::FREE, false),
            handler(PAID, false, Price::sat(21), false),
            handler(QUOTED, false, Price::FREE, true),
            paid(HELD, |job| job.payment = PaymentTiming::Hold),
            paid(PAID_AFTER, |job| job.payment = PaymentTiming::After),
            paid(PARTLY_FREE, |job| job.free_per_day = 2),
        ],
        schedules: vec![],
        routes: vec![],
        events: vec![],
        direct_message: None,
        hooks: HookSpec::default(),
        change_state: |_, _| Ok(None),
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut AgentSpec)) -> Self {
        let mut spec = spec();
        change(&mut spec);
        let options = Options {
            wallet: Some(WALLET),
            relay_url: Some("wss://own.example".into()),
            ..Options::default()
        };
        Self::on(Probe::new(), spec, options)
    }

    /// An agent that runs many jobs at once, with these limits.
    pub(super) fn with_limits(deliveries: DeliveryLimits) -> Self {
        let mut spec = spec();
        spec.declaration.concurrency = 1_000;
        let relay_url = Some("wss://own.example".into());
        Self::on(
            Probe::new(),
            spec,
            Options { wallet: Some(WALLET), relay_url, deliveries, ..Options::default() },
        )
    }

    /// Opens an agent's database.
    pub(super) fn on(sql: Probe, spec: AgentSpec, options: Options) -> Self {
        let engine = JobEngine::open(sql.clone(), agent(), spec.clone(), options.clone(), START).unwrap();
        let mut bench = Self {
            engine,
            spec,
            options,
            now: START,
            runs: vec![],
            aborted: vec![],
            quotes: vec![],
            resolves: vec![],
            blob_look_ups: vec![],
            invoices: vec![],
            settlements: vec![],
            hold_ends: vec![],
            published: vec![],
            delivering: vec![],
            admissions: vec![],
            answers: vec![],
            warnings: vec![],
            responses: vec![],
            states: BTreeMap::new(),
            is_migrated: sql.first::<(u32,)>("SELECT 1 FROM job", &[]).unwrap().is_some(),
            sql,
        };
        bench.settle();
        bench
    }

    pub(super) fn give(&mut self, input: &Input) {
        self.give_all(std::slice::from_ref(input));
    }

    /// Handles inputs as one batch.
    pub(super) fn give_all(&mut self, inputs: &[Input]) {
        let mut effects = Vec::new();
        self.engine.handle_all(self.now, inputs, &mut effects);
        self.apply(effects);
        self.settle();
    }

    /// Handles inputs in one transaction that is then rolled back, as if it could not be committed.
    pub(super) fn give_and_undo(&mut self, inputs: &[Input]) {
        let sql = self.sql.clone();
        let undone: Result<(), openagents_host::SqlError> = sql.transaction(|| {
            let mut effects = Vec::new();
            self.engine.handle_all(self.now, inputs, &mut effects);
            self.engine.alarm(self.now, &mut effects);
            Err(openagents_host::SqlError::Statement("disk full".into()))
        });
        assert!(undone.is_err());
        self.engine.rolled_back();
    }

    /// Runs the alarm until nothing is due.
    fn settle(&mut self) {
        let mut rings = 0;
        while self.engine.next_alarm().is_some_and(|at| at <= self.now) {
            let mut effects = Vec::new();
            self.engine.alarm(self.now, &mut effects);
            self.apply(effects);
            rings += 1;
            assert!(rings < 300, "the alarm rings for ever");
        }
        self.check();
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Taken { result, .. } => self.admissions.extend(result),
                Effect::Run { lease, task, state } => {
                    self.runs.push(Started { lease, task, state: state.json.map(|json| json.to_string()) });
                }
                Effect::Abort { lease } => {
                    self.runs.retain(|run| run.lease != lease);
                    self.aborted.push(lease);
                }
                Effect::Quote { job, .. } => self.quotes.push(job),
                Effect::Resolve { job, wanted, relays, blobs } => {
                    self.blob_look_ups.push((job, blobs));
                    self.resolves.push((job, wanted, relays));
                }
                Effect::Invoice { job, request } => self.invoices.push((job, request)),
                Effect::Settlement { job, invoice } => self.settlements.push((job, invoice)),
                Effect::EndHold { job, end, .. } => self.hold_ends.push((job, end)),
                Effect::Publish { entry, event, to } => {
                    self.delivering.push(entry);
                    self.published.push((event, to));
                }
                Effect::StoreAuditRecord { .. } => {}
                Effect::QueryReply { answer, .. } => self.answers.push(answer),
                // This agent polls no relays; `polls/tests.rs` has the tests of polls.
                Effect::Poll { relay, .. } => panic!("nobody asked for a poll to {relay}"),
                Effect::Respond { ticket, response } => self.responses.push((ticket, response)),
                Effect::Warn(warning) => self.warnings.push(warning),
            }
        }
    }

    /// Checks the invariants.
    fn check(&mut self) {
        self.sql.heal();
        let jobs = self
            .sql
            .rows::<(EventId, String, Option<String>)>(
                "SELECT id, state, CASE WHEN request = '' THEN '' ELSE answer END FROM job",
                &[],
            )
            .unwrap();
        let mut unfinished = 0;
        for (id, state, answer) in jobs {
            let state: JobState = state.parse().unwrap();
            let before = self.states.insert(id, state).unwrap_or(JobState::Received);
            assert!(leads_to(before, state), "{id} was {before} and is {state}");
            let is_answered = answer.is_some() || self.is_migrated;
            assert!(is_answered || !state.is_final(), "a job that is {state} has no answer");
            assert!(answer.is_none() || state.is_final(), "a job that is {state} has an answer");
            unfinished += u64::from(!state.is_final());
        }
        assert_eq!(self.engine.unfinished.total(), unfinished);
        assert_eq!(self.engine.unfinished, UnfinishedJobs::read(&self.sql).unwrap());
        let leases = self.engine.jobs.leases().unwrap();
        for lease in &leases {
            assert!(
                self.engine.running.get(&lease.run).is_none_or(|running| running.attempt == lease.attempt),
                "a lease is another's"
            );
        }
        for (run, running) in &self.engine.running {
            assert!(
                leases.contains(&Lease { run: *run, attempt: running.attempt }),
                "{run:?} runs without a lease"
            );
            assert!(!running.exclusive || self.engine.running.len() == 1, "{run:?} is not alone");
        }
    }

    pub(super) fn ask(&mut self, event: &VerifiedEvent) -> RequestAdmission {
        self.ask_from(event, None)
    }

    pub(super) fn ask_from(&mut self, event: &VerifiedEvent, source: Option<&str>) -> RequestAdmission {
        self.give(&Input::Request { event: event.clone(), source: source.map(str::to_owned), ticket: 0 });
        *self.admissions.last().unwrap()
    }

    pub(super) fn cancel(&mut self, request: &VerifiedEvent, by: &Keys) -> RequestAdmission {
        let event = Cancellation::event(&request.id, request.kind, None).sign(by, self.now);
        self.ask(&event)
    }

    pub(super) fn finish(&mut self, lease: Lease, outcome: RunOutcome, changes: Changes) {
        self.give(&Input::Finished { lease, outcome, changes });
    }

    pub(super) fn done(&mut self, lease: Lease, content: &str) {
        self.finish(lease, RunOutcome::Done(Output::new(content)), Changes::default());
    }

    pub(super) fn done_with_state(&mut self, lease: Lease, content: &str, state: &str) {
        let changes = Changes { state: Some(state.to_owned()), ..Changes::default() };
        self.finish(lease, RunOutcome::Done(Output::new(content)), changes);
    }

    pub(super) fn fail(&mut self, lease: Lease, message: &str, retryable: bool) {
        self.finish(lease, failed(message, retryable), Changes::default());
    }

    pub(super) fn deliver_all(&mut self) {
        while !self.delivering.is_empty() {
            for entry in std::mem::take(&mut self.delivering) {
                self.give(&Input::Delivered { entry, delivery: Delivery::Accepted });
            }
        }
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.settle();
    }

    pub(super) fn seconds(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Simulates a crash: opens the same database again.
    pub(super) fn crash(&mut self) {
        self.sql.heal();
        let (spec, options) = (self.spec.clone(), self.options.clone());
        self.engine = JobEngine::open(self.sql.clone(), agent(), spec, options, self.now).unwrap();
        self.runs.clear();
        self.delivering.clear();
        self.quotes.clear();
        self.resolves.clear();
        self.blob_look_ups.clear();
        self.invoices.clear();
        self.settlements.clear();
        self.hold_ends.clear();
        self.settle();
    }

    pub(super) fn next_run(&mut self) -> Lease {
        assert!(!self.runs.is_empty(), "nothing runs");
        self.runs.remove(0).lease
    }

    /// The runs in progress, in the order of their start.
    pub(super) fn running(&self) -> Vec<RunId> {
        self.runs.iter().map(|run| run.lease.run).collect()
    }

    pub(super) fn state_of(&self, request: &VerifiedEvent) -> JobState {
        let row =
            self.sql.first::<(String,)>("SELECT state FROM job WHERE id = ?", values![&request.id]).unwrap();
        row.unwrap().0.parse().unwrap()
    }

    pub(super) fn count(&self, table: &str) -> u64 {
        self.sql.first::<(u64,)>(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().unwrap().0
    }

    /// The events on the agent's own relay, without duplicates, in order.
    pub(super) fn own(&self) -> Vec<&VerifiedEvent> {
        let mut seen = BTreeSet::new();
        let own = self.published.iter().filter(|(_, to)| *to == Destination::Own).map(|(event, _)| event);
        own.filter(|event| seen.insert(event.id)).collect()
    }

    pub(super) fn results(&self) -> Vec<String> {
        self.own()
            .iter()
            .filter_map(|event| JobResultEvent::from_event(event))
            .map(|result| result.content)
            .collect()
    }

    pub(super) fn feedback(&self) -> Vec<Feedback> {
        self.own().iter().filter_map(|event| Feedback::from_event(event)).collect()
    }

    pub(super) fn statuses(&self) -> Vec<Status> {
        self.feedback().into_iter().map(|feedback| feedback.status).collect()
    }

    /// The message of the last answer, if it is an error.
    pub(super) fn last_error(&self) -> Option<String> {
        self.feedback().pop().filter(|last| last.status == Status::Error)?.message
    }

    /// The results and errors of each request.
    pub(super) fn ends(&self) -> BTreeMap<EventId, BTreeSet<EventId>> {
        let mut ends: BTreeMap<EventId, BTreeSet<EventId>> = BTreeMap::new();
        for (event, _) in &self.published {
            let event: &Event = event;
            let error = || Feedback::from_event(event).filter(|feedback| feedback.status == Status::Error);
            let request = JobResultEvent::from_event(event).map(|result| result.request);
            if let Some(request) = request.or_else(|| error().map(|error| error.request)) {
                ends.entry(request).or_default().insert(event.id);
            }
        }
        ends
    }

    /// The reply as JSON, which is the body of HTTP responses.
    pub(super) fn query_state(&mut self, query: StateQuery) -> Value {
        self.give(&Input::Query { query, ticket: 0 });
        serde_json::to_value(self.answers.pop().unwrap().unwrap()).unwrap()
    }
}

fn leads_to(from: JobState, to: JobState) -> bool {
    let mut reached = vec![from];
    let mut seen = 0;
    while let Some(state) = reached.get(seen).copied() {
        seen += 1;
        let next = JobState::ALL.into_iter().filter(|next| state.may_become(*next));
        let new: Vec<_> = next.filter(|next| !reached.contains(next)).collect();
        reached.extend(new);
    }
    reached.contains(&to)
}

impl Bench {
    pub(super) fn sql_text(&self, statement: &str) -> String {
        self.sql.first::<(String,)>(statement, &[]).unwrap().unwrap().0
    }
}
