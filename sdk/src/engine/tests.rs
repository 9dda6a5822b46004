#![allow(clippy::arithmetic_side_effects)]

use std::time::Duration;

use openagents_host::native::Sqlite;
use openagents_host::{Engine, Event, Keys, Kind, Sql, SqlError, Timestamp, UnsignedEvent, VerifiedEvent};
use proptest::prelude::*;

use super::{Admission, Delivery, Effect, HandlerFacts, Input, JobEngine, Lease, Outcome};
use crate::handler::JobDeclaration;
use crate::nip90::{Feedback, JobResultEvent, Status};
use crate::output::Output;

const SHARED: u16 = 5000;
const EXCLUSIVE: u16 = 5050;

/// An agent's engine with virtual time, and all that it ever published.
struct Bench {
    engine: JobEngine<Sqlite>,
    now: Timestamp,
    runs: Vec<(Lease, Option<String>)>,
    published: Vec<VerifiedEvent>,
    delivering: Vec<u64>,
    admissions: Vec<Admission>,
    warnings: Vec<String>,
}

fn agent() -> Keys {
    Keys::from_secret(&[4; 32]).unwrap()
}

fn handlers() -> Vec<HandlerFacts> {
    let facts = |kind, exclusive| HandlerFacts {
        declaration: JobDeclaration {
            kind,
            name: "handler",
            about: "",
            timeout: Duration::from_secs(60),
            attempts: 3,
            inputs: &[],
            output: "text/plain",
        },
        exclusive,
    };
    vec![facts(SHARED, false), facts(EXCLUSIVE, true)]
}

fn request(kind: u16, number: u64) -> VerifiedEvent {
    let customer = Keys::from_secret(&[3; 32]).unwrap();
    UnsignedEvent::new(Kind(kind), "")
        .tag(["i", "Ada", "text"])
        .sign(&customer, Timestamp::from_seconds(number))
}

impl Bench {
    fn new() -> Self {
        let now = Timestamp::from_seconds(1_700_000_000);
        let engine = JobEngine::open(Sqlite::in_memory().unwrap(), agent(), handlers(), now).unwrap();
        Self {
            engine,
            now,
            runs: vec![],
            published: vec![],
            delivering: vec![],
            admissions: vec![],
            warnings: vec![],
        }
    }

    fn give(&mut self, input: &Input) {
        let mut effects = Vec::new();
        self.engine.handle(self.now, input, &mut effects);
        self.apply(effects);
        self.settle();
    }

    fn settle(&mut self) {
        let mut rings = 0;
        while self.engine.next_alarm().is_some_and(|at| at <= self.now) {
            let mut effects = Vec::new();
            self.engine.alarm(self.now, &mut effects);
            self.apply(effects);
            rings += 1;
            assert!(rings < 1_000, "the alarm rings for ever");
        }
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Taken { result, .. } => self.admissions.push(result.unwrap()),
                Effect::Run { lease, state, .. } => {
                    self.runs.push((lease, state.json.map(|json| json.to_string())));
                }
                Effect::Publish { entry, event } => {
                    self.delivering.push(entry);
                    self.published.push(event);
                }
                Effect::Warn(warning) => self.warnings.push(warning),
            }
        }
    }

    fn ask(&mut self, event: VerifiedEvent) {
        self.give(&Input::Request { event, ticket: 0 });
    }

    fn finish(&mut self, lease: Lease, outcome: Outcome, state: Option<&str>) {
        self.give(&Input::Finished { lease, outcome, state: state.map(str::to_owned) });
    }

    fn done(&mut self, lease: Lease, content: &str, state: Option<&str>) {
        self.finish(lease, Outcome::Done(Output::new(content)), state);
    }

    fn deliver_all(&mut self) {
        for entry in std::mem::take(&mut self.delivering) {
            self.give(&Input::Delivered { entry, delivery: Delivery::Accepted });
        }
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.settle();
    }

    /// The process ends and another one opens the same database.
    fn crash(&mut self) {
        self.engine = JobEngine::open(self.engine.sql().clone(), agent(), handlers(), self.now).unwrap();
        self.runs.clear();
        self.delivering.clear();
        self.settle();
    }

    fn next_run(&mut self) -> Lease {
        self.runs.remove(0).0
    }

    fn results(&self) -> Vec<String> {
        self.published
            .iter()
            .filter_map(|event| JobResultEvent::from_event(event))
            .map(|result| result.content)
            .collect()
    }

    fn statuses(&self) -> Vec<(Status, Option<String>)> {
        self.published
            .iter()
            .filter_map(|event| Feedback::from_event(event))
            .map(|feedback| (feedback.status, feedback.message))
            .collect()
    }

    fn outbox(&self) -> usize {
        self.engine.sql().rows::<(u64,)>("SELECT entry FROM outbox", &[]).unwrap().len()
    }
}

fn failed(message: &str, retryable: bool) -> Outcome {
    Outcome::Failed { message: message.into(), retryable }
}

#[test]
fn answers_a_request_with_processing_and_one_result() {
    let mut bench = Bench::new();
    bench.ask(request(EXCLUSIVE, 1));
    let lease = bench.next_run();
    bench.done(lease, "Hello", Some("{\"n\":1}"));
    bench.deliver_all();
    assert_eq!(bench.admissions, [Admission::Queued]);
    assert_eq!(bench.statuses(), [(Status::Processing, None)]);
    assert_eq!(bench.results(), ["Hello"]);
    assert_eq!(bench.outbox(), 0);
    assert_eq!(bench.engine.next_alarm(), None);
    for event in &bench.published {
        assert_eq!(event.pubkey, agent().public_key());
    }
}

#[test]
fn takes_a_request_once() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.ask(request(SHARED, 1));
    }
    assert_eq!(bench.admissions, [Admission::Queued, Admission::Duplicate, Admission::Duplicate]);
    assert_eq!(bench.runs.len(), 1);
}

#[test]
fn leaves_requests_for_others_alone() {
    let mut bench = Bench::new();
    let customer = Keys::from_secret(&[3; 32]).unwrap();
    let ask = |tags: &[&[&str]], kind| {
        let tags = tags.iter().map(|tag| tag.iter().map(|word| (*word).to_owned()).collect());
        UnsignedEvent::new(Kind(kind), "").tags(tags).sign(&customer, Timestamp::EPOCH)
    };
    let other = customer.public_key().to_hex();
    bench.ask(ask(&[&["p", &other]], SHARED));
    bench.ask(ask(&[&["encrypted"]], SHARED));
    bench.ask(ask(&[], 5999));
    bench.ask(ask(&[], 1));
    assert_eq!(bench.admissions, [Admission::NotOurs; 4]);
    assert!(bench.runs.is_empty() && bench.published.is_empty());
    bench.ask(ask(&[&["p", &other], &["p", &agent().public_key().to_hex()]], SHARED));
    assert_eq!(bench.runs.len(), 1);
}

#[test]
fn runs_shared_handlers_side_by_side_and_exclusive_ones_alone() {
    let mut bench = Bench::new();
    for (number, kind) in (1..).zip([SHARED, SHARED, EXCLUSIVE, SHARED, EXCLUSIVE]) {
        bench.ask(request(kind, number));
    }
    assert_eq!(bench.runs.len(), 2, "the exclusive one waits, and nothing overtakes it");
    let (first, second) = (bench.next_run(), bench.next_run());
    bench.done(first, "1", None);
    assert!(bench.runs.is_empty());
    bench.done(second, "2", None);
    let third = bench.next_run();
    assert!(bench.runs.is_empty(), "the shared one behind waits for the exclusive one");
    bench.done(third, "3", None);
    let fourth = bench.next_run();
    assert!(bench.runs.is_empty());
    bench.done(fourth, "4", None);
    let fifth = bench.next_run();
    bench.done(fifth, "5", None);
    assert_eq!(bench.results(), ["1", "2", "3", "4", "5"]);
}

#[test]
fn commits_the_state_with_the_result_and_shows_it_to_the_next_run() {
    let mut bench = Bench::new();
    bench.ask(request(EXCLUSIVE, 1));
    bench.ask(request(EXCLUSIVE, 2));
    let (first, state) = bench.runs.remove(0);
    assert_eq!(state, None);
    bench.done(first, "1", Some("{\"n\":1}"));
    let (second, state) = bench.runs.remove(0);
    assert_eq!(state.as_deref(), Some("{\"n\":1}"));
    bench.finish(second, failed("no", false), Some("{\"n\":2}"));
    bench.crash();
    assert_eq!(bench.engine.state().json.as_deref(), Some("{\"n\":1}"), "a failed job leaves no state");
}

#[test]
fn tells_the_customer_about_a_final_error_at_once() {
    let mut bench = Bench::new();
    bench.ask(request(SHARED, 1));
    let lease = bench.next_run();
    bench.finish(lease, failed("no such model", false), None);
    assert_eq!(bench.statuses()[1], (Status::Error, Some("no such model".into())));
    assert!(bench.results().is_empty() && bench.runs.is_empty());
}

#[test]
fn tries_a_retryable_error_again_after_growing_pauses() {
    let mut bench = Bench::new();
    bench.ask(request(SHARED, 1));
    for (attempt, pause) in [(1, 1), (2, 2)] {
        let lease = bench.next_run();
        assert_eq!(lease.attempt, attempt);
        bench.finish(lease, failed("later", true), None);
        bench.pass(Duration::from_millis(pause * 1_000 - 1));
        assert!(bench.runs.is_empty());
        bench.pass(Duration::from_millis(1));
    }
    let lease = bench.next_run();
    bench.finish(lease, failed("later", true), None);
    bench.pass(Duration::from_secs(3_600));
    assert!(bench.runs.is_empty());
    assert_eq!(bench.statuses(), [(Status::Processing, None), (Status::Error, Some("later".into()))]);
}

#[test]
fn runs_a_job_again_whose_process_ended_and_ignores_the_lost_run() {
    let mut bench = Bench::new();
    bench.ask(request(SHARED, 1));
    let lost = bench.next_run();
    bench.crash();
    let again = bench.next_run();
    assert_eq!((lost.attempt, again.attempt), (1, 2));
    bench.done(lost, "late", None);
    assert!(bench.results().is_empty());
    bench.done(again, "right", None);
    bench.done(again, "twice", None);
    assert_eq!(bench.results(), ["right"]);
    let processing = bench.statuses().len();
    bench.crash();
    assert_eq!(bench.results(), ["right", "right"], "the outbox is delivered until it is confirmed");
    assert_eq!(bench.published.last().unwrap().id, bench.published[bench.published.len() - 1].id);
    assert!(processing >= 1);
}

#[test]
fn gives_up_a_job_that_ends_the_process_every_time() {
    let mut bench = Bench::new();
    bench.ask(request(SHARED, 1));
    for _ in 0..3 {
        assert_eq!(bench.runs.len(), 1);
        bench.crash();
    }
    assert!(bench.runs.is_empty());
    assert!(bench.statuses().iter().any(|(status, _)| *status == Status::Error));
}

#[test]
fn takes_back_a_lease_that_runs_out() {
    let mut bench = Bench::new();
    bench.ask(request(EXCLUSIVE, 1));
    let hung = bench.next_run();
    bench.pass(Duration::from_secs(69));
    assert!(bench.runs.is_empty());
    bench.pass(Duration::from_secs(2));
    let again = bench.next_run();
    assert_eq!(again.attempt, 2);
    bench.done(hung, "late", Some("{}"));
    bench.done(again, "right", None);
    assert_eq!(bench.results(), ["right"]);
    assert_eq!(bench.engine.state().json, None);
}

#[test]
fn delivers_again_while_the_relay_is_away_and_drops_what_it_refuses() {
    let mut bench = Bench::new();
    bench.ask(request(SHARED, 1));
    let entry = bench.delivering.remove(0);
    bench.give(&Input::Delivered { entry, delivery: Delivery::Unreachable("away".into()) });
    assert!(bench.delivering.is_empty());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.delivering, [entry]);
    bench.give(&Input::Delivered { entry, delivery: Delivery::Refused("blocked: no".into()) });
    assert_eq!(bench.outbox(), 0);
    assert_eq!(bench.warnings.len(), 2);
}

#[test]
fn refuses_to_publish_what_no_relay_could_keep() {
    let mut bench = Bench::new();
    bench.ask(request(EXCLUSIVE, 1));
    let lease = bench.next_run();
    bench.done(lease, &"x".repeat(2_000_000), Some("{\"n\":1}"));
    assert!(bench.results().is_empty());
    assert_eq!(bench.statuses()[1], (Status::Error, Some("the output is too large for an event".into())));
    assert_eq!(bench.engine.state().json, None);
}

#[test]
fn fails_a_job_whose_handler_was_removed() {
    let mut bench = Bench::new();
    bench.ask(request(EXCLUSIVE, 1));
    let sql = bench.engine.sql().clone();
    bench.engine = JobEngine::open(sql, agent(), handlers().drain(..1).collect(), bench.now).unwrap();
    bench.settle();
    assert_eq!(bench.statuses().last().unwrap().0, Status::Error);
}

#[test]
fn forgets_leases_of_a_transaction_that_was_undone() {
    let mut bench = Bench::new();
    let sql = bench.engine.sql().clone();
    let undone: Result<(), SqlError> = sql.transaction(|| {
        let mut effects = Vec::new();
        let input = Input::Request { event: request(EXCLUSIVE, 1), ticket: 0 };
        bench.engine.handle(bench.now, &input, &mut effects);
        bench.engine.alarm(bench.now, &mut effects);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Run { .. })));
        Err(SqlError::Statement("disk full".into()))
    });
    assert!(undone.is_err());
    bench.engine.rolled_back();
    bench.ask(request(EXCLUSIVE, 2));
    assert_eq!(bench.runs.len(), 1, "the lost exclusive run does not block the next");
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u16, u64),
    Finish(usize),
    Fail(usize, bool),
    Deliver,
    Wait(u64),
    Forget,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop_oneof![Just(SHARED), Just(EXCLUSIVE)], 0..12u64).prop_map(|(kind, number)| Step::Ask(kind, number)),
        4 => (0..4usize).prop_map(Step::Finish),
        1 => (0..4usize, any::<bool>()).prop_map(|(run, retryable)| Step::Fail(run, retryable)),
        2 => Just(Step::Deliver),
        1 => (0..100u64).prop_map(Step::Wait),
        1 => Just(Step::Forget),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    /// Whatever happens in whatever order: every request that was taken ends with one result or one error, exclusive
    /// runs are alone, and the state counts the exclusive results.
    #[test]
    fn every_request_ends_once(steps in prop::collection::vec(step(), 0..60)) {
        let mut bench = Bench::new();
        let mut asked = std::collections::BTreeSet::new();
        let finish = |bench: &mut Bench, index: usize| {
            if bench.runs.is_empty() { return; }
            let (lease, state) = bench.runs.remove(index % bench.runs.len());
            let count: u64 = state.map_or(0, |state| state.parse().unwrap());
            let next = (count + 1).to_string();
            let exclusive = bench.engine.ledger.leased(lease).unwrap().is_some_and(|job| job.request.kind().0 == EXCLUSIVE);
            bench.done(lease, "done", exclusive.then_some(next.as_str()));
        };
        for step in steps {
            match step {
                Step::Ask(kind, number) => {
                    let event = request(kind, number);
                    asked.insert(event.id);
                    bench.ask(event);
                }
                Step::Finish(run) => finish(&mut bench, run),
                Step::Fail(run, retryable) => if !bench.runs.is_empty() {
                    let (lease, _) = bench.runs.remove(run % bench.runs.len());
                    bench.finish(lease, failed("no", retryable), None);
                },
                Step::Deliver => bench.deliver_all(),
                Step::Wait(seconds) => bench.pass(Duration::from_secs(seconds)),
                Step::Forget => bench.engine.forget(bench.now),
                Step::Crash => bench.crash(),
            }
            let alone = bench.engine.running.values().any(|running| running.exclusive);
            prop_assert!(!alone || bench.engine.running.len() == 1);
        }
        for _ in 0..200 {
            finish(&mut bench, 0);
            bench.deliver_all();
            bench.pass(Duration::from_secs(71));
        }
        let mut ends = std::collections::BTreeMap::new();
        for event in &bench.published {
            let event: &Event = event;
            let end = JobResultEvent::from_event(event).map(|result| result.request)
                .or_else(|| Feedback::from_event(event).filter(|feedback| feedback.status == Status::Error).map(|feedback| feedback.request));
            if let Some(request) = end {
                ends.entry(request).or_insert_with(std::collections::BTreeSet::new).insert(event.id);
            }
        }
        prop_assert_eq!(ends.keys().copied().collect::<std::collections::BTreeSet<_>>(), asked);
        prop_assert!(ends.values().all(|ids| ids.len() == 1));
        let mut exclusive_results = std::collections::BTreeSet::new();
        for event in &bench.published {
            if event.kind.0 == EXCLUSIVE + 1_000 { exclusive_results.insert(event.id); }
        }
        let state = bench.engine.state().json.map_or(0, |state| state.parse::<usize>().unwrap());
        prop_assert_eq!(state, exclusive_results.len());
        prop_assert_eq!(bench.outbox(), 0);
    }
}
