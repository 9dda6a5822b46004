//! What becomes of a payment: held, taken, returned, credited, spent; and results that wait for theirs.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Sql, VerifiedEvent};

use super::bench::*;
use super::events::*;
use crate::engine::job_state::JobState;
use crate::engine::{HoldEnd, Input, RunId};
use crate::nip90::{Amount, Status};
use crate::payment::wallet::{Invoice, Settlement, WalletError};
use crate::price::Price;

const MINUTE: Duration = Duration::from_secs(60);

fn invoiced(bench: &mut Bench) -> Invoice {
    let (job, request) = bench.invoices.remove(0);
    let payment_hash = request.hold.map_or_else(|| job.to_hex(), |preimage| preimage.payment_hash());
    let expires_at = bench.now + MINUTE * 15;
    let invoice =
        Invoice { bolt11: format!("lnbc{}", job.to_hex()), payment_hash, expires_at, verify_url: None };
    bench.give(&Input::Invoiced { job, invoice: Ok(invoice.clone()) });
    invoice
}

/// Answers the next question whether an invoice is paid.
fn answer(bench: &mut Bench, settlement: Settlement) {
    while bench.settlements.is_empty() {
        bench.seconds(1);
    }
    let (job, _) = bench.settlements.remove(0);
    bench.give(&Input::Settled { job, settlement: Ok(settlement) });
}

fn hold_ended(bench: &mut Bench, result: Result<(), WalletError>) -> HoldEnd {
    let (job, end) = bench.hold_ends.remove(0);
    bench.give(&Input::HoldEnded { job, end: end.clone(), result });
    end
}

/// A job whose payment is held, and its lease.
fn held(bench: &mut Bench) -> (VerifiedEvent, crate::engine::Lease) {
    let event = request(HELD, 1);
    bench.ask(&event);
    invoiced(bench);
    answer(bench, Settlement::Held);
    (event, bench.next_run())
}

fn credit(bench: &Bench) -> u64 {
    let sum = bench.sql.first::<(u64,)>("SELECT coalesce(sum(msat), 0) FROM credit", &[]);
    sum.unwrap().unwrap().0
}

fn movements(bench: &Bench) -> Vec<(String, u64)> {
    bench.sql.rows::<(String, u64)>("SELECT movement, msat FROM payment ORDER BY entry", &[]).unwrap()
}

fn moved(movements: &[(&str, u64)]) -> Vec<(String, u64)> {
    movements.iter().map(|(movement, msat)| ((*movement).to_owned(), *msat)).collect()
}

#[test]
fn whoever_has_many_unpaid_jobs_does_not_delay_the_payments_of_others() {
    let mut bench = Bench::new();
    let flood: Vec<_> = (0..400).map(|number| request(PAID, number)).collect();
    for event in &flood {
        bench.ask(event);
    }
    while !bench.invoices.is_empty() {
        invoiced(&mut bench);
    }
    let mut looks = 0;
    for _ in 0..100 {
        bench.seconds(1);
        for (job, _) in std::mem::take(&mut bench.settlements) {
            looks += 1;
            bench.give(&Input::Settled { job, settlement: Ok(Settlement::Pending) });
        }
    }
    assert!((400..=900).contains(&looks), "{looks} in 100 s: once each, then four a second");
    let other = openagents_host::UnsignedEvent::new(openagents_host::Kind(PAID), "")
        .tag(["i", "x", "text"])
        .sign(&stranger(), START);
    bench.ask(&other);
    invoiced(&mut bench);
    let asked = bench.now;
    while !bench.settlements.iter().any(|(job, _)| *job == other.id) {
        bench.settlements.clear();
        bench.seconds(1);
        assert!(asked.until(bench.now) < Duration::from_secs(5), "its payment is not looked for");
    }
}

#[test]
fn a_held_payment_is_taken_for_the_result_and_not_before() {
    let mut bench = Bench::new();
    let (event, lease) = held(&mut bench);
    assert!(bench.hold_ends.is_empty());
    bench.done(lease, "Hello");
    assert!(bench.results().is_empty(), "the payment is not taken yet");
    assert_eq!(bench.state_of(&event), JobState::AwaitingPayment);
    let HoldEnd::Take(preimage) = hold_ended(&mut bench, Ok(())) else { panic!("it is to be taken") };
    let hash = bench.sql_text("SELECT payment_hash FROM invoice");
    assert_eq!(preimage.payment_hash(), hash);
    assert_eq!(bench.results(), ["Hello"]);
    assert_eq!(bench.state_of(&event), JobState::Done);
    assert_eq!(movements(&bench), moved(&[("received", 21_000)]));
    assert_eq!(bench.count("withheld_result"), 0);
}

#[test]
fn a_held_payment_is_returned_if_the_job_fails_or_is_cancelled() {
    for is_cancelled in [false, true] {
        let mut bench = Bench::new();
        let (event, lease) = held(&mut bench);
        if is_cancelled {
            bench.cancel(&event, &customer());
        } else {
            bench.fail(lease, "no paper", false);
        }
        let told = bench.last_error().unwrap();
        assert!(told.ends_with("; your payment is returned"), "{told}");
        assert_eq!(hold_ended(&mut bench, Ok(())), HoldEnd::Return);
        assert_eq!(movements(&bench), moved(&[("returned", 21_000)]));
        assert_eq!((credit(&bench), bench.engine.alarm), (0, None));
    }
}

#[test]
fn an_unreachable_wallet_is_told_again_to_take_or_return_a_payment() {
    for succeeds in [true, false] {
        let mut bench = Bench::new();
        let (event, lease) = held(&mut bench);
        if succeeds {
            bench.done(lease, "Hello");
        } else {
            bench.fail(lease, "no paper", false);
        }
        for _ in 0..3 {
            hold_ended(&mut bench, Err(WalletError::Unreachable("away".into())));
            assert!(bench.hold_ends.is_empty(), "it is not called at once");
            bench.crash();
            bench.seconds(120);
            assert_eq!(bench.hold_ends.len(), 1);
        }
        hold_ended(&mut bench, Ok(()));
        let state = if succeeds { JobState::Done } else { JobState::Failed };
        assert_eq!(bench.state_of(&event), state);
        assert_eq!(bench.results().len(), usize::from(succeeds));
        bench.seconds(3_600);
        assert!(bench.hold_ends.is_empty());
    }
}

#[test]
fn a_result_whose_payment_cannot_be_taken_is_not_published() {
    let mut bench = Bench::new();
    let (event, lease) = held(&mut bench);
    bench.done(lease, "Hello");
    hold_ended(&mut bench, Err(WalletError::Refused("it has been returned".into())));
    assert_eq!(bench.state_of(&event), JobState::Failed);
    assert!(bench.results().is_empty());
    assert!(bench.last_error().unwrap().contains("the wallet has returned it"));
    assert_eq!((movements(&bench).len(), bench.count("withheld_result")), (0, 0));
}

#[test]
fn a_job_whose_payment_is_being_taken_is_not_cancelled() {
    let mut bench = Bench::new();
    let (event, lease) = held(&mut bench);
    bench.done(lease, "Hello");
    bench.cancel(&event, &customer());
    assert_eq!(bench.state_of(&event), JobState::AwaitingPayment);
    hold_ended(&mut bench, Ok(()));
    assert_eq!(bench.results(), ["Hello"]);
}

#[test]
fn a_hold_invoice_that_nobody_paid_is_closed() {
    let mut bench = Bench::new();
    let event = request(HELD, 1);
    bench.ask(&event);
    invoiced(&mut bench);
    bench.cancel(&event, &customer());
    assert_eq!(hold_ended(&mut bench, Ok(())), HoldEnd::Return);
    assert!(movements(&bench).is_empty(), "nothing was held");
}

#[test]
fn a_payment_that_is_held_without_being_asked_for_is_not_a_payment() {
    let mut bench = Bench::new();
    bench.ask(&request(PAID, 1));
    invoiced(&mut bench);
    answer(&mut bench, Settlement::Held);
    assert!(bench.runs.is_empty());
}

#[test]
fn the_payment_of_a_failed_job_is_credited_and_pays_the_next() {
    let mut bench = Bench::new();
    let event = request(PAID, 1);
    bench.ask(&event);
    invoiced(&mut bench);
    answer(&mut bench, Settlement::Paid);
    let lease = bench.next_run();
    bench.fail(lease, "no paper", false);
    let told = bench.last_error().unwrap();
    assert_eq!(told, "no paper; your payment of 21000 msat is kept as credit for your next job");
    assert_eq!(credit(&bench), 21_000);

    bench.ask(&request(PAID, 2));
    assert!(bench.invoices.is_empty());
    assert_eq!(credit(&bench), 0);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    assert_eq!(bench.results(), ["Hello"]);
    assert_eq!(movements(&bench), moved(&[("received", 21_000), ("credited", 21_000), ("spent", 21_000)]));

    bench.ask(&request(PAID, 3));
    assert_eq!(bench.invoices.len(), 1, "the credit is used up");
}

#[test]
fn credit_is_given_back_when_the_job_it_paid_for_fails() {
    let mut bench = Bench::new();
    bench.sql.execute("INSERT INTO credit VALUES (?, 30000)", values![&customer().public_key()]).unwrap();
    bench.ask(&request(PAID, 1));
    assert_eq!(credit(&bench), 9_000);
    let lease = bench.next_run();
    bench.fail(lease, "no paper", false);
    assert_eq!(credit(&bench), 30_000);
    assert_eq!(movements(&bench), moved(&[("spent", 21_000), ("credited", 21_000)]));
}

#[test]
fn credit_that_is_not_enough_is_left_alone() {
    let mut bench = Bench::new();
    bench.sql.execute("INSERT INTO credit VALUES (?, 20999)", values![&customer().public_key()]).unwrap();
    bench.ask(&request(PAID, 1));
    assert_eq!((bench.invoices.len(), credit(&bench)), (1, 20_999));
}

#[test]
fn a_payment_that_comes_after_the_end_is_credited_once() {
    let mut bench = Bench::new();
    let event = request(PAID, 1);
    bench.ask(&event);
    invoiced(&mut bench);
    bench.cancel(&event, &customer());
    bench.crash();
    bench.seconds(17 * 60);
    let (job, _) = bench.settlements.remove(0);
    for _ in 0..2 {
        bench.give(&Input::Settled { job, settlement: Ok(Settlement::Paid) });
    }
    assert_eq!(bench.state_of(&event), JobState::Cancelled);
    assert_eq!(movements(&bench), moved(&[("received", 21_000), ("credited", 21_000)]));
    assert_eq!((credit(&bench), bench.engine.alarm), (21_000, None));
}

#[test]
fn an_answer_from_before_the_end_of_a_job_does_not_end_the_wait_for_a_late_payment() {
    let mut bench = Bench::new();
    let event = request(PAID, 1);
    bench.ask(&event);
    invoiced(&mut bench);
    bench.seconds(2);
    let (job, _) = bench.settlements.remove(0);
    bench.cancel(&event, &customer());
    bench.give(&Input::Settled { job, settlement: Ok(Settlement::Pending) });
    bench.seconds(17 * 60);
    answer(&mut bench, Settlement::Paid);
    assert_eq!(credit(&bench), 21_000);
}

#[test]
fn an_invoice_that_nobody_paid_is_looked_at_once_more_and_forgotten() {
    let mut bench = Bench::new();
    let event = request(PAID, 1);
    bench.ask(&event);
    invoiced(&mut bench);
    bench.cancel(&event, &customer());
    bench.seconds(17 * 60);
    answer(&mut bench, Settlement::Pending);
    bench.seconds(24 * 3_600);
    assert!(bench.settlements.is_empty());
    assert_eq!((credit(&bench), bench.engine.alarm), (0, None));
}

#[test]
fn the_payment_of_one_invoice_does_not_pay_two_jobs() {
    let mut bench = Bench::new();
    for number in 1..=2 {
        bench.ask(&request(PAID, number));
        let (job, _) = bench.invoices.remove(0);
        let expires_at = bench.now + MINUTE * 15;
        let invoice =
            Invoice { bolt11: "lnbc1".into(), payment_hash: "ab".repeat(32), expires_at, verify_url: None };
        bench.give(&Input::Invoiced { job, invoice: Ok(invoice) });
    }
    answer(&mut bench, Settlement::Paid);
    answer(&mut bench, Settlement::Paid);
    assert_eq!(bench.running(), [RunId::Job(request(PAID, 1).id)]);
    assert_eq!(bench.state_of(&request(PAID, 2)), JobState::Failed);
    assert_eq!(credit(&bench), 0);
}

#[test]
fn a_result_that_is_paid_for_afterwards_is_kept_until_then() {
    let mut bench = Bench::new();
    let event = request(PAID_AFTER, 1);
    bench.ask(&event);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    assert!(bench.results().is_empty());
    let invoice = invoiced(&mut bench);
    let asked = bench.feedback().pop().unwrap();
    assert_eq!(asked.status, Status::PaymentRequired);
    assert_eq!(asked.amount, Some(Amount::new(21_000).invoice(invoice.bolt11)));
    bench.crash();
    bench.seconds(60);
    assert!(bench.runs.is_empty(), "it does not run again");
    answer(&mut bench, Settlement::Paid);
    assert_eq!(bench.results(), ["Hello"]);
    assert_eq!(movements(&bench), moved(&[("received", 21_000)]));
}

#[test]
fn who_owes_a_payment_gets_no_further_work_before_it() {
    let mut bench = Bench::new();
    bench.ask(&request(PAID_AFTER, 1));
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    invoiced(&mut bench);
    bench.ask(&request(PAID_AFTER, 2));
    assert!(bench.runs.is_empty());
    assert!(bench.last_error().unwrap().contains("not paid for your last job"));
    answer(&mut bench, Settlement::Paid);
    bench.ask(&request(PAID_AFTER, 3));
    assert_eq!(bench.runs.len(), 1);
}

#[test]
fn a_result_that_nobody_pays_for_is_forgotten() {
    let mut bench = Bench::new();
    let event = request(PAID_AFTER, 1);
    bench.ask(&event);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    invoiced(&mut bench);
    while bench.state_of(&event) == JobState::AwaitingPayment {
        answer(&mut bench, Settlement::Pending);
    }
    assert!(bench.results().is_empty());
    assert_eq!(bench.last_error().as_deref(), Some("the invoice was not paid in time"));
    assert_eq!(bench.count("withheld_result"), 0);
}

#[test]
fn so_many_jobs_a_day_are_free_for_each_customer() {
    let mut bench = Bench::new();
    for number in 1..=2 {
        bench.ask(&request(PARTLY_FREE, number));
        let lease = bench.next_run();
        bench.done(lease, "Hello");
    }
    bench.ask(&request(PARTLY_FREE, 3));
    assert_eq!((bench.runs.len(), bench.invoices.len()), (0, 1));
    let stranger = openagents_host::UnsignedEvent::new(openagents_host::Kind(PARTLY_FREE), "")
        .tag(["i", "x", "text"])
        .sign(&stranger(), START);
    bench.ask(&stranger);
    assert_eq!(bench.runs.len(), 1, "another customer");
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    bench.seconds(24 * 3_600);
    let tomorrow = openagents_host::UnsignedEvent::new(openagents_host::Kind(PARTLY_FREE), "")
        .tag(["i", "4", "text"])
        .sign(&customer(), bench.now);
    bench.ask(&tomorrow);
    assert_eq!(bench.runs.len(), 1, "another day");
}

#[test]
fn a_price_is_rounded_up_to_what_the_wallet_can_ask_for() {
    let mut bench = Bench::with(|spec| spec.handlers[2].declaration.price = Price::msat(20_001));
    let wallet = WALLET.in_satoshis();
    bench.options.wallet = Some(wallet);
    bench.crash();
    bench.ask(&request(PAID, 1));
    assert_eq!(bench.invoices[0].1.price, Price::sat(21));
    // A bid that is met by the price, but not by the invoice.
    bench.ask(&tagged(PAID, 2, &[&["bid", "20500"]]));
    assert!(bench.last_error().unwrap().contains("21000 msat, which is more than the bid of 20500"));
}

#[test]
fn no_price_is_beyond_all_money() {
    let mut bench = Bench::new();
    for (number, price) in [(1, Price::msat(u64::MAX)), (2, Price::sat(100_000_001))] {
        let event = request(QUOTED, number);
        bench.ask(&event);
        let job = bench.quotes.remove(0);
        bench.give(&Input::Quoted { job, price: Ok(price) });
        assert_eq!(bench.state_of(&event), JobState::Rejected);
    }
}

#[test]
fn a_customer_who_vanishes_leaves_amounts_and_no_name() {
    let mut bench = Bench::new();
    let (_, lease) = held(&mut bench);
    bench.done(lease, "Hello");
    hold_ended(&mut bench, Ok(()));
    let other = request(HELD, 2);
    bench.ask(&other);
    invoiced(&mut bench);
    answer(&mut bench, Settlement::Held);
    bench.sql.execute("INSERT INTO credit VALUES (?, 5)", values![&customer().public_key()]).unwrap();
    let vanish = openagents_host::UnsignedEvent::new(openagents_host::Kind(62), "")
        .tag(["relay", "ALL_RELAYS"])
        .sign(&customer(), bench.now);
    bench.ask(&vanish);
    let named = bench.sql.first::<(u64,)>(
        "SELECT (SELECT count(*) FROM payment WHERE customer IS NOT NULL)
            + (SELECT count(*) FROM invoice WHERE customer IS NOT NULL) + (SELECT count(*) FROM credit)",
        &[],
    );
    assert_eq!(named.unwrap(), Some((0,)));
    assert_eq!(hold_ended(&mut bench, Ok(())), HoldEnd::Return, "what is held goes back all the same");
    assert_eq!(movements(&bench), moved(&[("received", 21_000), ("returned", 21_000)]));
}
