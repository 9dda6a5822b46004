//! Property test: whatever customers, the wallet, the network and crashes do, no payment is kept for nothing, and no
//! result is given away.

use std::collections::BTreeMap;

use openagents_host::nostr::fixtures::random_cases;
use openagents_host::{Sql, Timestamp};
use proptest::prelude::*;

use super::bench::*;
use super::events::*;
use crate::engine::{Changes, Delivery, HoldEnd, Input, Output, RunOutcome};
use crate::nip90::Cancellation;
use crate::payment::wallet::{Invoice, Settlement, WalletError};

const KINDS: [u16; 3] = [PAID, HELD, PAID_AFTER];

const PRICE: u64 = 21_000;

#[derive(Clone, Debug)]
enum Step {
    /// A request of a kind (an index) with a number.
    Ask(usize, u64),
    Cancel(usize, u64),
    Finish(usize),
    Fail(usize),
    /// The wallet creates an invoice; its answer is lost or not.
    Create(usize, bool),
    /// The customer pays an invoice.
    Pay(usize),
    /// The wallet tells the state of an invoice, if it can be reached.
    Look(usize, bool),
    /// The wallet takes or returns a held payment.
    EndHold(usize, Contact),
    /// The network returns a payment that is held.
    Expire(usize),
    Deliver,
    Wait(u64),
    Crash,
    /// The database fails, after this many statements.
    Break(u32),
}

/// Whether a call reaches the wallet, and its answer the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contact {
    Full,
    AnswerLost,
    None,
}

fn step() -> impl Strategy<Value = Step> {
    let contact =
        prop_oneof![3 => Just(Contact::Full), 1 => Just(Contact::AnswerLost), 1 => Just(Contact::None)];
    prop_oneof![
        6 => (0..3_usize, 0..4_u64).prop_map(|(kind, number)| Step::Ask(kind, number)),
        1 => (0..3_usize, 0..4_u64).prop_map(|(kind, number)| Step::Cancel(kind, number)),
        6 => (0..3_usize).prop_map(Step::Finish),
        2 => (0..3_usize).prop_map(Step::Fail),
        6 => (0..4_usize, prop::bool::weighted(0.2)).prop_map(|(job, is_lost)| Step::Create(job, is_lost)),
        6 => (0..8_usize).prop_map(Step::Pay),
        8 => (0..4_usize, prop::bool::weighted(0.8)).prop_map(|(job, reached)| Step::Look(job, reached)),
        4 => (0..4_usize, contact).prop_map(|(job, contact)| Step::EndHold(job, contact)),
        1 => (0..4_usize).prop_map(Step::Expire),
        2 => Just(Step::Deliver),
        6 => (0..200_u64).prop_map(Step::Wait),
        1 => (0..3_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Crash),
        1 => (0..30_u32).prop_map(Step::Break),
    ]
}

/// An invoice of the wallet, by its payment hash.
struct WalletInvoice {
    expires_at: Timestamp,
    is_hold: bool,
    state: Settlement,
}

struct World {
    bench: Bench,
    wallet: BTreeMap<String, WalletInvoice>,
    created: u64,
}

impl World {
    fn create(&mut self, index: usize, is_lost: bool) {
        if self.bench.invoices.is_empty() {
            return;
        }
        let (job, request) = self.bench.invoices.remove(index % self.bench.invoices.len());
        let is_hold = request.hold.is_some();
        self.created += 1;
        // A wallet knows a hold invoice by the hash it is given.
        let payment_hash =
            request.hold.map_or_else(|| format!("{:064x}", self.created), |preimage| preimage.payment_hash());
        let expires_at = self.bench.now + request.expiry;
        let made = WalletInvoice { expires_at, is_hold, state: Settlement::Pending };
        let expires_at = self.wallet.entry(payment_hash.clone()).or_insert(made).expires_at;
        let invoice = Invoice { bolt11: payment_hash.clone(), payment_hash, expires_at, verify_url: None };
        let answer = if is_lost { Err(WalletError::Unreachable("lost".into())) } else { Ok(invoice) };
        self.bench.give(&Input::Invoiced { job, invoice: answer });
    }

    /// Pays an invoice that was published.
    fn pay(&mut self, index: usize) {
        let asked: Vec<String> =
            self.bench.feedback().into_iter().filter_map(|feedback| feedback.amount?.invoice).collect();
        let Some(hash) = (!asked.is_empty()).then(|| &asked[index % asked.len()]) else { return };
        let now = self.bench.now;
        let invoice = self.wallet.get_mut(hash).unwrap();
        if invoice.state == Settlement::Pending && invoice.expires_at > now {
            invoice.state = if invoice.is_hold { Settlement::Held } else { Settlement::Paid };
        }
    }

    fn look(&mut self, index: usize, is_reached: bool) {
        if self.bench.settlements.is_empty() {
            return;
        }
        let (job, invoice) = self.bench.settlements.remove(index % self.bench.settlements.len());
        let known = &self.wallet[&invoice.payment_hash];
        let settlement = match known.state {
            Settlement::Pending if known.expires_at <= self.bench.now => Settlement::Expired,
            state => state,
        };
        let settlement =
            if is_reached { Ok(settlement) } else { Err(WalletError::Unreachable("away".into())) };
        self.bench.give(&Input::Settled { job, settlement });
    }

    fn end_hold(&mut self, index: usize, contact: Contact) {
        if self.bench.hold_ends.is_empty() {
            return;
        }
        let (job, end) = self.bench.hold_ends.remove(index % self.bench.hold_ends.len());
        let preimage = self.bench.engine.preimage(&job);
        let known = self.wallet.get_mut(&preimage.payment_hash()).unwrap();
        let mut result = Err(WalletError::Unreachable("away".into()));
        if contact != Contact::None {
            let wanted = match end {
                HoldEnd::Take(_) => Settlement::Paid,
                HoldEnd::Return => Settlement::Expired,
            };
            let may_end = known.state == Settlement::Held
                || known.state == Settlement::Pending && wanted == Settlement::Expired;
            if may_end {
                known.state = wanted;
            }
            if contact == Contact::Full {
                let refused = WalletError::Refused("not held".into());
                result = if known.state == wanted { Ok(()) } else { Err(refused) };
            }
        }
        self.bench.give(&Input::HoldEnded { job, end, result });
    }

    fn end(&mut self, index: usize, outcome: RunOutcome) {
        if self.bench.runs.is_empty() {
            return;
        }
        let run = self.bench.runs.remove(index % self.bench.runs.len());
        self.bench.give(&Input::Finished { lease: run.lease, outcome, changes: Changes::default() });
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Ask(kind, number) => self.ask(*kind, *number),
            Step::Cancel(kind, number) => {
                let event = request(KINDS[*kind], *number);
                let event =
                    Cancellation::event(&event.id, event.kind, None).sign(&customer(), self.bench.now);
                self.bench.give(&Input::Request { event, source: None, ticket: 0 });
            }
            Step::Finish(run) => self.end(*run, RunOutcome::Done(Output::new("done"))),
            Step::Fail(run) => self.end(*run, failed("no", false)),
            Step::Create(job, is_lost) => self.create(*job, *is_lost),
            Step::Pay(invoice) => self.pay(*invoice),
            Step::Look(job, is_reached) => self.look(*job, *is_reached),
            Step::EndHold(job, contact) => self.end_hold(*job, *contact),
            Step::Expire(index) => {
                let mut held: Vec<_> =
                    self.wallet.values_mut().filter(|invoice| invoice.state == Settlement::Held).collect();
                if !held.is_empty() {
                    let index = index % held.len();
                    held[index].state = Settlement::Expired;
                }
            }
            Step::Deliver => {
                for entry in std::mem::take(&mut self.bench.delivering) {
                    self.bench.give(&Input::Delivered { entry, delivery: Delivery::Accepted });
                }
            }
            Step::Wait(seconds) => self.bench.seconds(*seconds),
            Step::Crash => self.bench.crash(),
            Step::Break(statements) => self.bench.sql.fail_after(*statements),
        }
    }

    /// Asking again changes nothing.
    fn ask(&mut self, kind: usize, number: u64) {
        let event = request(KINDS[kind], number);
        self.bench.give(&Input::Request { event, source: None, ticket: 0 });
    }

    /// The wallet can be reached and nobody pays any more, until nothing is left to do.
    fn come_to_rest(&mut self) {
        self.bench.sql.heal();
        for _ in 0..200 {
            while !self.bench.runs.is_empty() {
                self.end(0, RunOutcome::Done(Output::new("done")));
            }
            while !self.bench.invoices.is_empty() {
                self.create(0, false);
            }
            while !self.bench.settlements.is_empty() {
                self.look(0, true);
            }
            while !self.bench.hold_ends.is_empty() {
                self.end_hold(0, Contact::Full);
            }
            self.take(&Step::Deliver);
            self.bench.seconds(30);
        }
    }

    fn sum(&self, statement: &str) -> u64 {
        self.bench.sql.first::<(u64,)>(statement, &[]).unwrap().unwrap().0
    }
}

fn check(steps: &[Step]) {
    let mut world = World { bench: Bench::new(), wallet: BTreeMap::new(), created: 0 };
    for step in steps {
        world.take(step);
    }
    world.come_to_rest();
    assert_eq!(world.bench.engine.alarm, None, "nothing is left to do");
    assert!(
        world.wallet.values().all(|invoice| invoice.state != Settlement::Held),
        "a payment is still held"
    );
    for ends in world.bench.ends().values() {
        assert_eq!(ends.len(), 1, "a job ended twice");
    }
    let paid = world.wallet.values().filter(|invoice| invoice.state == Settlement::Paid).count();
    let received = world.sum("SELECT coalesce(sum(msat), 0) FROM payment WHERE movement = 'received'");
    assert_eq!(received, PRICE * u64::try_from(paid).unwrap(), "the ledger is the wallet's");
    let done = world.sum("SELECT count(*) FROM job WHERE state = 'done'");
    assert_eq!(u64::try_from(world.bench.results().len()).unwrap(), done);
    let credit = world.sum("SELECT coalesce(sum(msat), 0) FROM credit");
    assert_eq!(received, PRICE * done + credit, "each payment is for a result, or is credit");
    assert_eq!(world.bench.count("withheld_result"), 0);
}

proptest! {
    #![proptest_config(random_cases(128))]

    #[test]
    fn money_is_for_results_or_credit(steps in prop::collection::vec(step(), 0..120)) {
        check(&steps);
    }
}
