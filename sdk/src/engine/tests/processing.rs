//! When a customer is told that a job is being processed.

use std::time::Duration;

use openagents_host::Engine;

use super::bench::*;
use super::events::*;
use crate::engine::{Delivery, Input, Report, RunOutcome};
use crate::nip90::Status;
use crate::payment::wallet::{Invoice, Settlement};
use crate::price::Price;

const AFTER: Duration = Duration::from_millis(300);

/// An agent whose handlers are told of after the usual time.
fn bench() -> Bench {
    Bench::with(|spec| {
        for handler in &mut spec.handlers {
            handler.declaration.processing_after = AFTER;
        }
    })
}

#[test]
fn a_job_that_ends_soon_has_only_its_result() {
    let mut bench = bench();
    bench.ask(&request(SHARED, 1));
    bench.pass(AFTER - Duration::from_millis(1));
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    bench.seconds(60);
    assert_eq!((bench.statuses(), bench.results()), (vec![], vec!["Hello".to_owned()]));
    assert_eq!(bench.published.len(), 1);
    bench.deliver_all();
    assert_eq!(bench.engine.next_alarm(), None);
}

#[test]
fn a_job_that_goes_on_is_told_of_once() {
    let mut bench = bench();
    bench.ask(&request(EXCLUSIVE, 1));
    assert_eq!(bench.engine.next_alarm(), Some(START + AFTER));
    bench.pass(AFTER);
    assert_eq!(bench.statuses(), [Status::Processing]);
    bench.seconds(5);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    assert_eq!((bench.statuses(), bench.published.len()), (vec![Status::Processing], 2));
}

#[test]
fn what_a_handler_reports_comes_after_it() {
    for report in [Report::Progress("half".into()), Report::Partial("He".into())] {
        let mut bench = bench();
        bench.ask(&request(SHARED, 1));
        let lease = bench.next_run();
        bench.give(&Input::Reported { lease, report });
        assert_eq!(bench.published.len(), 2);
        assert_eq!(bench.statuses()[0], Status::Processing);
        assert_eq!(bench.feedback()[0].message, None);
        bench.seconds(5);
        assert_eq!(bench.published.len(), 2, "told once");
    }
}

#[test]
fn a_job_that_costs_something_is_told_of_at_once() {
    for kind in [PAID, QUOTED] {
        let mut bench = bench();
        bench.ask(&request(kind, 1));
        if let Some(job) = bench.quotes.pop() {
            bench.give(&Input::Quoted { job, price: Ok(Price::sat(3)) });
        }
        let (job, _) = bench.invoices.remove(0);
        let expires_at = START + Duration::from_secs(60);
        let invoice =
            Invoice { bolt11: "ln".into(), payment_hash: job.to_hex(), expires_at, verify_url: None };
        bench.give(&Input::Invoiced { job, invoice: Ok(invoice) });
        bench.give(&Input::Settled { job, settlement: Ok(Settlement::Paid) });
        assert_eq!(bench.runs.len(), 1);
        assert_eq!(bench.statuses(), [Status::PaymentRequired, Status::Processing], "{kind}");
        bench.seconds(5);
        assert_eq!(bench.statuses().len(), 2);
    }
}

#[test]
fn it_is_the_same_event_after_a_crash() {
    let mut bench = bench();
    bench.ask(&request(EXCLUSIVE, 1));
    bench.pass(AFTER);
    bench.deliver_all();
    bench.seconds(3);
    bench.crash();
    bench.pass(AFTER);
    assert_eq!(bench.published.len(), 2, "the second attempt is told of as well");
    assert_eq!(bench.statuses(), [Status::Processing], "by the same event, which relays take once");
}

#[test]
fn a_second_attempt_that_goes_on_is_told_of_although_the_first_was_not() {
    let mut bench = bench();
    bench.ask(&request(SHARED, 1));
    let lease = bench.next_run();
    bench.finish(lease, failed("busy", true), crate::engine::Changes::default());
    bench.seconds(1);
    assert_eq!(bench.statuses(), []);
    bench.pass(AFTER);
    assert_eq!(bench.statuses(), [Status::Processing]);
    let lease = bench.next_run();
    bench.finish(
        lease,
        RunOutcome::Done(crate::engine::Output::new("Hello")),
        crate::engine::Changes::default(),
    );
    assert_eq!(bench.results(), ["Hello"]);
}

#[test]
fn it_is_told_although_its_transaction_was_undone() {
    let mut bench = bench();
    bench.ask(&request(SHARED, 1));
    bench.now = bench.now + AFTER;
    bench.give_and_undo(&[]);
    bench.seconds(0);
    assert_eq!(bench.statuses(), [Status::Processing]);
    let entry = bench.delivering[0];
    bench.give(&Input::Delivered { entry, delivery: Delivery::Accepted });
    assert_eq!(bench.count("outbox"), 0);
}
