//! Paid jobs: invoice, payment, and what happens without one.

use std::time::Duration;

use super::bench::*;
use super::events::*;
use crate::engine::job_state::JobState;
use crate::engine::{Input, RunId};
use crate::nip90::{Amount, Status};
use crate::payment::wallet::{Invoice, Settlement, WalletError};

const MINUTE: Duration = Duration::from_secs(60);

fn invoiced(bench: &mut Bench, bolt11: &str) {
    let (job, _) = bench.invoices.remove(0);
    let expires_at = bench.now + MINUTE * 15;
    let invoice = Invoice { bolt11: bolt11.into(), payment_hash: job.to_hex(), expires_at, verify_url: None };
    bench.give(&Input::Invoiced { job, invoice: Ok(invoice) });
}

fn settled(bench: &mut Bench, settlement: Settlement) {
    answered(bench, Ok(settlement));
}

fn answered(bench: &mut Bench, settlement: Result<Settlement, WalletError>) {
    let (job, _) = bench.settlements.remove(0);
    bench.give(&Input::Settled { job, settlement });
}

fn unreachable(reason: &str) -> WalletError {
    WalletError::Unreachable(reason.into())
}

fn waiting() -> Bench {
    let mut bench = Bench::new();
    bench.ask(&request(PAID, 1));
    invoiced(&mut bench, "lnbc1");
    bench
}

#[test]
fn asks_for_the_money_once_and_works_when_it_came() {
    let mut bench = Bench::new();
    let event = request(PAID, 1);
    bench.ask(&event);
    assert_eq!(bench.invoices[0].1.memo, format!("tester handler, job {}", event.id));
    assert!(bench.statuses().is_empty());
    invoiced(&mut bench, "lnbc1");
    let asked = bench.feedback().pop().unwrap();
    assert_eq!(asked.status, Status::PaymentRequired);
    assert_eq!(asked.amount, Some(Amount::new(21_000).invoice("lnbc1")));

    bench.seconds(2);
    settled(&mut bench, Settlement::Pending);
    assert!(bench.runs.is_empty() && bench.settlements.is_empty(), "it is not asked again at once");
    bench.seconds(2);
    settled(&mut bench, Settlement::Paid);
    assert_eq!(bench.running(), [RunId::Job(event.id)]);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    assert_eq!(bench.statuses(), [Status::PaymentRequired, Status::Processing]);
    assert_eq!(bench.results(), ["Hello"]);
    bench.seconds(3_600);
    assert!(bench.invoices.is_empty() && bench.settlements.is_empty() && bench.last_error().is_none());
}

#[test]
fn sends_one_invoice_however_often_the_wallet_was_asked() {
    let mut bench = Bench::new();
    bench.ask(&request(PAID, 1));
    bench.seconds(60);
    assert_eq!(bench.invoices.len(), 2);
    invoiced(&mut bench, "lnbc1");
    invoiced(&mut bench, "lnbc2");
    assert_eq!(bench.statuses(), [Status::PaymentRequired]);
    assert_eq!(bench.warnings, [""; 0]);
    bench.seconds(60);
    assert!(bench.settlements.iter().all(|(_, invoice)| invoice.bolt11 == "lnbc1"));
}

#[test]
fn asks_after_the_money_ever_more_seldom() {
    let mut bench = waiting();
    let mut pauses = Vec::new();
    while bench.now < START + MINUTE * 10 {
        let asked = bench.now;
        while bench.settlements.is_empty() {
            bench.seconds(1);
        }
        pauses.push(asked.until(bench.now).as_secs());
        settled(&mut bench, Settlement::Pending);
    }
    assert_eq!((pauses[0], pauses[1], *pauses.last().unwrap()), (2, 2, 30));
    assert!(pauses.is_sorted() && pauses.len() < 60, "{pauses:?}");
}

#[test]
fn ends_a_job_that_nobody_pays_for() {
    let mut bench = waiting();
    for _ in 0..17 * 60 {
        bench.seconds(1);
        while !bench.settlements.is_empty() {
            settled(&mut bench, Settlement::Pending);
        }
    }
    assert_eq!(bench.state_of(&request(PAID, 1)), JobState::Failed);
    assert_eq!(bench.last_error().as_deref(), Some("the invoice was not paid in time"));
}

#[test]
fn ends_a_job_whose_invoice_the_wallet_calls_expired() {
    let mut bench = waiting();
    bench.seconds(2);
    settled(&mut bench, Settlement::Expired);
    assert_eq!(bench.last_error().as_deref(), Some("the invoice was not paid in time"));
}

#[test]
fn works_on_what_was_paid_while_nobody_looked() {
    let mut bench = waiting();
    bench.crash();
    bench.seconds(3_600);
    assert_eq!(bench.state_of(&request(PAID, 1)), JobState::AwaitingPayment, "the wallet has not been asked");
    settled(&mut bench, Settlement::Paid);
    assert_eq!(bench.runs.len(), 1);
}

#[test]
fn asks_an_unreachable_wallet_again_for_five_minutes() {
    let mut bench = Bench::new();
    let event = request(PAID, 1);
    bench.ask(&event);
    let mut asked = 0;
    while bench.state_of(&event) == JobState::AwaitingPayment {
        for (job, _) in std::mem::take(&mut bench.invoices) {
            bench.give(&Input::Invoiced { job, invoice: Err(unreachable("no route")) });
            asked += 1;
        }
        bench.seconds(1);
    }
    assert_eq!(asked, 16);
    assert_eq!(bench.last_error().as_deref(), Some("the agent could not make an invoice"));
    assert!(bench.warnings[0].contains("no route"));
    assert!(bench.now <= START + Duration::from_secs(302));
}

#[test]
fn ends_a_job_for_which_the_wallet_makes_no_invoice() {
    for error in [WalletError::Refused("too small an amount".into()), WalletError::NoWallet] {
        let mut bench = Bench::new();
        let event = request(PAID, 1);
        bench.ask(&event);
        let (job, _) = bench.invoices.remove(0);
        bench.give(&Input::Invoiced { job, invoice: Err(error.clone()) });
        assert_eq!(bench.state_of(&event), JobState::Failed, "{error}");
        assert_eq!(bench.last_error().as_deref(), Some("the agent could not make an invoice"));
        assert!(bench.warnings[0].contains(&error.to_string()), "{:?}", bench.warnings);
    }
}

#[test]
fn asks_an_unreachable_wallet_again_whether_a_job_is_paid() {
    let mut bench = waiting();
    let mut pauses = Vec::new();
    // Long after the invoice has expired: the customer may have paid in time.
    while bench.now < START + MINUTE * 60 {
        let asked = bench.now;
        while bench.settlements.is_empty() {
            bench.seconds(1);
        }
        pauses.push(asked.until(bench.now).as_secs());
        answered(&mut bench, Err(unreachable("no route")));
    }
    assert_eq!((pauses[0], pauses[1], *pauses.last().unwrap()), (2, 5, 120));
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert!(bench.warnings.iter().all(|warning| warning.contains("no route")), "{:?}", bench.warnings);
    assert_eq!(bench.warnings.len(), pauses.len());
    assert_eq!(bench.state_of(&request(PAID, 1)), JobState::AwaitingPayment);
    bench.seconds(120);
    settled(&mut bench, Settlement::Paid);
    assert_eq!(bench.runs.len(), 1);
}

#[test]
fn ends_a_job_whose_invoice_the_wallet_refuses_to_look_up() {
    let mut bench = waiting();
    bench.seconds(2);
    answered(&mut bench, Err(WalletError::Refused("no invoice of this wallet".into())));
    assert_eq!(
        bench.last_error().as_deref(),
        Some("the agent could not find out whether the invoice was paid")
    );
    assert!(bench.warnings[0].contains("no invoice of this wallet"), "{:?}", bench.warnings);
}

#[test]
fn waits_for_a_wallet_that_is_gone_until_the_invoice_has_expired() {
    let mut bench = waiting();
    let event = request(PAID, 1);
    while bench.state_of(&event) == JobState::AwaitingPayment {
        assert!(bench.now < START + MINUTE * 20, "it waits for ever");
        bench.seconds(1);
        if !bench.settlements.is_empty() {
            answered(&mut bench, Err(WalletError::NoWallet));
        }
    }
    assert!(bench.now >= START + MINUTE * 16);
    assert_eq!(
        bench.last_error().as_deref(),
        Some("the agent could not find out whether the invoice was paid")
    );
    assert!(bench.warnings[0].contains("this agent has no wallet"), "{:?}", bench.warnings);
}

#[test]
fn a_job_that_waited_long_for_its_input_has_as_long_for_its_payment() {
    let mut bench = Bench::new();
    let upstream = stranger_request();
    let event = chained(PAID, 2, &[upstream.id]);
    bench.ask(&event);
    bench.give(&Input::Resolved { job: event.id, events: vec![(*upstream).clone()], blobs: vec![] });
    bench.seconds(50 * 60);
    bench.give(&Input::Resolved {
        job: event.id,
        events: vec![(*result_of(&upstream, &stranger(), "x")).clone()],
        blobs: vec![],
    });
    let (job, _) = bench.invoices.remove(0);
    bench.give(&Input::Invoiced { job, invoice: Err(unreachable("busy")) });
    assert_eq!(bench.state_of(&event), JobState::AwaitingPayment);
    bench.seconds(10);
    invoiced(&mut bench, "lnbc1");
    assert_eq!(bench.statuses().last(), Some(&Status::PaymentRequired));
}

#[test]
fn goes_on_after_a_crash_at_every_step() {
    for crash_at in 0..5 {
        let mut bench = Bench::new();
        let crash = |bench: &mut Bench, step| {
            if step == crash_at {
                bench.crash();
                bench.seconds(60);
            }
        };
        let event = request(PAID, 1);
        bench.ask(&event);
        crash(&mut bench, 0);
        invoiced(&mut bench, "lnbc1");
        crash(&mut bench, 1);
        bench.seconds(2);
        crash(&mut bench, 2);
        settled(&mut bench, Settlement::Paid);
        crash(&mut bench, 3);
        let lease = bench.next_run();
        bench.done(lease, "Hello");
        crash(&mut bench, 4);
        assert_eq!(bench.results(), ["Hello"], "{crash_at}");
        assert_eq!(bench.statuses(), [Status::PaymentRequired, Status::Processing], "{crash_at}");
    }
}

#[test]
fn a_payment_for_a_job_that_is_over_changes_nothing() {
    let mut bench = waiting();
    let event = request(PAID, 1);
    bench.seconds(2);
    bench.cancel(&event, &customer());
    settled(&mut bench, Settlement::Paid);
    assert_eq!(bench.state_of(&event), JobState::Cancelled);
    assert!(bench.runs.is_empty());
}
