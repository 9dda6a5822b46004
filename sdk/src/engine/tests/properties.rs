//! Property tests: random sequences of inputs, crashes and failures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openagents_host::nostr::fixtures::random_cases;
use openagents_host::{Engine, EventId, VerifiedEvent};
use proptest::prelude::*;

use super::bench::*;
use super::events::*;
use crate::declaration::{ScheduleDeclaration, ScheduleRule};
use crate::engine::{
    Changes, Delivery, Input, Output, QuoteError, Report, RunId, RunOutcome, ScheduleSpec, Task,
};
use crate::nip90::Cancellation;
use crate::payment::wallet::{Invoice, Settlement, WalletError};
use crate::price::Price;

#[derive(Clone, Debug)]
enum Step {
    /// A request of a kind (an index), with a number, from an external relay or not.
    Ask(usize, u64, bool),
    /// With the job of this kind and number as input.
    Chain(usize, u64),
    Cancel(usize, u64),
    Finish(usize),
    Fail(usize, bool),
    Report(usize),
    Quote(usize, Option<u64>),
    Invoice(usize, bool),
    Settle(usize, Result<Settlement, WalletError>),
    Resolve(usize, bool),
    Deliver(Delivery),
    /// All deliveries in progress end in one batch, of which so many are accepted.
    DeliverTogether(usize),
    /// The clock is set back by so many seconds.
    SetBack(u64),
    Wait(u64),
    Forget,
    Crash,
    /// The database fails, after this many statements.
    Break(u32),
    /// The next step is first rolled back, like a batch that cannot be committed, and then repeated.
    Undo,
}

const KINDS: [u16; 4] = [SHARED, EXCLUSIVE, PAID, QUOTED];

fn step() -> impl Strategy<Value = Step> {
    let settlement = prop_oneof![
        1 => Just(Ok(Settlement::Pending)),
        3 => Just(Ok(Settlement::Paid)),
        1 => Just(Ok(Settlement::Expired)),
        1 => Just(Err(WalletError::Unreachable("busy".into()))),
        1 => Just(Err(WalletError::NoWallet)),
        1 => Just(Err(WalletError::Refused("no such invoice".into()))),
    ];
    let delivery = prop_oneof![
        4 => Just(Delivery::Accepted),
        1 => Just(Delivery::Unreachable("away".into())),
    ];
    prop_oneof![
        8 => (0..4_usize, 0..4_u64, any::<bool>()).prop_map(|(kind, number, external)| Step::Ask(kind, number, external)),
        2 => (0..4_usize, 0..4_u64).prop_map(|(kind, number)| Step::Chain(kind, number)),
        1 => (0..4_usize, 0..4_u64).prop_map(|(kind, number)| Step::Cancel(kind, number)),
        8 => (0..4_usize).prop_map(Step::Finish),
        2 => (0..4_usize, any::<bool>()).prop_map(|(run, retryable)| Step::Fail(run, retryable)),
        1 => (0..4_usize).prop_map(Step::Report),
        2 => (0..4_usize, prop::option::of(0..2_u64)).prop_map(|(job, price)| Step::Quote(job, price)),
        3 => (0..4_usize, prop::bool::weighted(0.8)).prop_map(|(job, succeeds)| Step::Invoice(job, succeeds)),
        3 => (0..4_usize, settlement).prop_map(|(job, settlement)| Step::Settle(job, settlement)),
        1 => (0..4_usize, any::<bool>()).prop_map(|(job, found)| Step::Resolve(job, found)),
        3 => delivery.prop_map(Step::Deliver),
        3 => (0..6_usize).prop_map(Step::DeliverTogether),
        1 => (0..30_u64).prop_map(Step::SetBack),
        3 => (0..100_u64).prop_map(Step::Wait),
        1 => Just(Step::Forget),
        1 => Just(Step::Crash),
        2 => (0..30_u32).prop_map(Step::Break),
        2 => Just(Step::Undo),
    ]
}

/// The bench, and what the customer and the hosts know.
struct World {
    bench: Bench,
    taken: BTreeSet<EventId>,
    undo: bool,
}

impl World {
    fn new(has_life: bool) -> Self {
        let bench = Bench::with(|spec| {
            spec.declaration.concurrency = 3;
            spec.declaration.queue = 8;
            // Of two kinds, a customer is told only of jobs that go on.
            for handler in spec.handlers.iter_mut().take(2) {
                handler.declaration.processing_after = Duration::from_secs(2);
            }
            if has_life {
                spec.hooks.on_create = Some(true);
                spec.hooks.on_wake = Some(false);
                spec.hooks.on_sleep = Some(true);
                spec.hooks.on_error = Some(false);
                let rule = ScheduleRule::Every(Duration::from_secs(45));
                let timeout = Duration::from_secs(20);
                let declaration = ScheduleDeclaration { name: "tick", about: "", rule, timeout };
                spec.schedules = vec![ScheduleSpec { declaration, exclusive: true }];
            }
        });
        Self { bench, taken: BTreeSet::new(), undo: false }
    }

    fn give(&mut self, input: &Input) {
        if std::mem::take(&mut self.undo) {
            // A broken database fails only once.
            self.bench.give_and_undo(std::slice::from_ref(input));
        }
        let admissions = self.bench.admissions.len();
        self.bench.give(input);
        if let Input::Request { event, .. } = input
            && self.bench.admissions.len() > admissions
            && event.kind.0 != 5
        {
            self.taken.insert(event.id);
        }
    }

    fn ask(&mut self, event: VerifiedEvent, external: bool) {
        self.give(&Input::Request { event, source: external.then(|| EXTERNAL.to_owned()), ticket: 0 });
    }

    fn end(&mut self, index: usize, outcome: impl FnOnce() -> RunOutcome) {
        if self.bench.runs.is_empty() {
            return;
        }
        let run = self.bench.runs.remove(index % self.bench.runs.len());
        let is_counted = matches!(&run.task, Task::Job { request, .. } if request.kind().0 == EXCLUSIVE);
        let count: u64 = run.state.map_or(0, |state| state.parse().unwrap());
        let state = is_counted.then(|| (count + 1).to_string());
        let changes = Changes { state, ..Changes::default() };
        self.give(&Input::Finished { lease: run.lease, outcome: outcome(), changes });
    }

    fn invoice(&mut self, index: usize, succeeds: bool) {
        if self.bench.invoices.is_empty() {
            return;
        }
        let (job, _) = self.bench.invoices.remove(index % self.bench.invoices.len());
        let expires_at = self.bench.now + Duration::from_secs(120);
        let invoice =
            Invoice { bolt11: "lnbc1".into(), payment_hash: job.to_hex(), expires_at, verify_url: None };
        let invoice = if succeeds { Ok(invoice) } else { Err(WalletError::Unreachable("busy".into())) };
        self.give(&Input::Invoiced { job, invoice });
    }

    fn quote(&mut self, index: usize, sats: Option<u64>) {
        if self.bench.quotes.is_empty() {
            return;
        }
        let job = self.bench.quotes.remove(index % self.bench.quotes.len());
        let price = sats.map(Price::sat).ok_or_else(|| QuoteError::Refused("not for sale".to_owned()));
        self.give(&Input::Quoted { job, price });
    }

    fn settle(&mut self, index: usize, settlement: Result<Settlement, WalletError>) {
        if self.bench.settlements.is_empty() {
            return;
        }
        let (job, _) = self.bench.settlements.remove(index % self.bench.settlements.len());
        self.give(&Input::Settled { job, settlement });
    }

    fn resolve(&mut self, index: usize, found: bool) {
        if self.bench.resolves.is_empty() {
            return;
        }
        let (job, wanted, _) = self.bench.resolves.remove(index % self.bench.resolves.len());
        let results = wanted.iter().map(|wanted| {
            let event = openagents_host::UnsignedEvent::new(openagents_host::Kind(6_300), "x");
            (*event.tag(["e", &wanted.to_hex()]).sign(&stranger(), START)).clone()
        });
        let events = if found { results.collect() } else { vec![] };
        self.give(&Input::Resolved { job, events, blobs: vec![] });
    }

    fn deliver(&mut self, delivery: &Delivery) {
        for entry in std::mem::take(&mut self.bench.delivering) {
            self.give(&Input::Delivered { entry, delivery: delivery.clone() });
        }
    }

    fn deliver_together(&mut self, accepted: usize) {
        let entries = std::mem::take(&mut self.bench.delivering);
        let inputs: Vec<Input> = entries
            .into_iter()
            .enumerate()
            .map(|(number, entry)| {
                let is_accepted = number % 6 < accepted;
                let delivery =
                    if is_accepted { Delivery::Accepted } else { Delivery::Unreachable("away".into()) };
                Input::Delivered { entry, delivery }
            })
            .collect();
        if std::mem::take(&mut self.undo) {
            self.bench.give_and_undo(&inputs);
        }
        self.bench.give_all(&inputs);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Ask(kind, number, external) => self.ask(request(KINDS[kind], number), external),
            Step::Chain(kind, number) => {
                self.ask(chained(KINDS[kind], 10 + number, &[request(KINDS[kind], number).id]), false);
            }
            Step::Cancel(kind, number) => {
                let event = request(KINDS[kind], number);
                let event =
                    Cancellation::event(&event.id, event.kind, None).sign(&customer(), self.bench.now);
                self.ask(event, false);
            }
            Step::Finish(run) => self.end(run, || RunOutcome::Done(Output::new("done"))),
            Step::Fail(run, retryable) => self.end(run, || failed("no", retryable)),
            Step::Report(run) => {
                if let Some(run) = self.bench.runs.get(run) {
                    let lease = run.lease;
                    self.give(&Input::Reported { lease, report: Report::Progress("on it".into()) });
                }
            }
            Step::Quote(job, sats) => self.quote(job, sats),
            Step::Invoice(job, succeeds) => self.invoice(job, succeeds),
            Step::Settle(job, settlement) => self.settle(job, settlement),
            Step::Resolve(job, found) => self.resolve(job, found),
            Step::Deliver(delivery) => self.deliver(&delivery),
            Step::DeliverTogether(accepted) => self.deliver_together(accepted),
            Step::SetBack(seconds) => self.bench.now = self.bench.now - Duration::from_secs(seconds),
            Step::Wait(seconds) => self.bench.seconds(seconds),
            Step::Forget => self.bench.engine.forget(self.bench.now),
            Step::Crash => self.bench.crash(),
            Step::Break(statements) => self.bench.sql.fail_after(statements),
            Step::Undo => self.undo = true,
        }
    }

    /// Everyone does what is expected, until nothing is left to do.
    fn come_to_rest(&mut self) {
        self.undo = false;
        self.bench.sql.heal();
        for _ in 0..400 {
            while !self.bench.runs.is_empty() {
                self.end(0, || RunOutcome::Done(Output::new("done")));
            }
            while !self.bench.quotes.is_empty() {
                self.quote(0, Some(0));
            }
            while !self.bench.invoices.is_empty() {
                self.invoice(0, true);
            }
            while !self.bench.settlements.is_empty() {
                self.settle(0, Ok(Settlement::Paid));
            }
            while !self.bench.resolves.is_empty() {
                self.resolve(0, true);
            }
            self.deliver(&Delivery::Accepted);
            self.bench.seconds(20);
        }
    }
}

/// Every admitted request ends with one result or one error, no run is without a lease, exclusive runs are alone, and
/// the state counts their results. In the end nothing is left to do. The bench checks further invariants.
fn check(has_life: bool, steps: Vec<Step>) {
    let mut world = World::new(has_life);
    for step in steps {
        world.take(step);
    }
    world.come_to_rest();
    let World { bench, taken, .. } = world;
    let ends: BTreeMap<EventId, BTreeSet<EventId>> = bench.ends();
    assert_eq!(ends.keys().copied().collect::<BTreeSet<_>>(), taken);
    for (request, ends) in ends {
        assert_eq!(ends.len(), 1, "{request} ended {} times", ends.len());
    }
    let counted = bench.own().iter().filter(|event| event.kind.0 == EXCLUSIVE + 1_000).count();
    let state = bench.engine.state().json.map_or(0, |state| state.parse::<usize>().unwrap());
    assert_eq!(state, counted);
    assert_eq!(bench.engine.unfinished.total(), 0);
    assert_eq!((bench.count("outbox"), bench.count("job_input")), (0, 0));
    assert!(bench.engine.running.keys().all(|run| !matches!(run, RunId::Job(_))));
    if !has_life {
        assert_eq!(bench.engine.next_alarm(), None);
    }
}

/// A case that a long run found. Its seed stands for other steps as soon as [`step`] changes.
#[test]
fn a_run_whose_outcome_was_not_stored_is_not_running_after_a_rollback() {
    let steps = [
        Step::Finish(0),
        Step::Ask(0, 0, false),
        Step::Finish(0),
        Step::Finish(0),
        Step::Fail(0, true),
        Step::Ask(1, 0, false),
        Step::Ask(2, 0, false),
        Step::Invoice(0, true),
        Step::Wait(2),
        Step::Ask(2, 1, false),
        Step::Ask(0, 0, false),
        Step::Ask(0, 0, false),
        Step::Break(0),
        Step::Fail(0, false),
        Step::Invoice(0, false),
        Step::Undo,
        Step::Settle(0, Ok(Settlement::Pending)),
    ];
    check(true, steps.into());
}

proptest! {
    #![proptest_config(random_cases(96))]

    #[test]
    fn every_request_ends_once(has_life in any::<bool>(), steps in prop::collection::vec(step(), 0..80)) {
        check(has_life, steps);
    }
}
