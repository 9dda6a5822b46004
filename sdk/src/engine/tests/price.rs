//! Prices and bids.

use super::bench::*;
use super::events::*;
use crate::engine::job_state::JobState;
use crate::engine::{Input, QuoteError, RequestAdmission, RunId};
use crate::price::Price;

fn quoted(bench: &mut Bench, price: Result<Price, &str>) {
    let job = bench.quotes.remove(0);
    bench.give(&Input::Quoted { job, price: price.map_err(|text| QuoteError::Refused(text.to_owned())) });
}

fn price_on_record(bench: &Bench) -> String {
    bench.sql_text("SELECT coalesce(price, 'none') || '' FROM job")
}

#[test]
fn refuses_a_bid_below_the_price() {
    let mut bench = Bench::new();
    let event = tagged(PAID, 1, &[&["bid", "20999"]]);
    assert_eq!(bench.ask(&event), RequestAdmission::Rejected);
    assert_eq!(
        bench.last_error().unwrap(),
        "this job costs 21000 msat, which is more than the bid of 20999 msat"
    );
    assert!(bench.invoices.is_empty());
}

#[test]
fn takes_a_bid_that_covers_the_price_and_none_at_all() {
    for tags in [&[&["bid", "21000"] as &[&str]] as &[&[&str]], &[], &[&["bid", "much"]]] {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(&tagged(PAID, 1, tags)), RequestAdmission::Queued);
        assert_eq!(bench.invoices.len(), 1);
        assert!(bench.runs.is_empty(), "it is not worked on before it is paid");
    }
}

#[test]
fn refuses_what_it_cannot_be_paid_for() {
    let mut bench = Bench::new();
    bench.options.wallet = None;
    bench.crash();
    assert_eq!(bench.ask(&request(PAID, 1)), RequestAdmission::Rejected);
    assert!(bench.last_error().unwrap().contains("no wallet"));
    assert_eq!(bench.ask(&request(SHARED, 1)), RequestAdmission::Queued, "what is free needs none");
}

#[test]
fn asks_the_handler_for_the_price_and_works_when_it_is_free() {
    let mut bench = Bench::new();
    let event = request(QUOTED, 1);
    assert_eq!(bench.ask(&event), RequestAdmission::Queued);
    assert_eq!(bench.quotes, [event.id]);
    assert!(bench.runs.is_empty());
    quoted(&mut bench, Ok(Price::FREE));
    assert_eq!(bench.running(), [RunId::Job(event.id)]);
    assert_eq!(price_on_record(&bench), "0");
}

#[test]
fn holds_the_quoted_price_against_the_bid() {
    let mut bench = Bench::new();
    bench.ask(&tagged(QUOTED, 1, &[&["bid", "5000"]]));
    quoted(&mut bench, Ok(Price::msat(5_001)));
    assert!(bench.last_error().unwrap().contains("more than the bid"));
    bench.ask(&tagged(QUOTED, 2, &[&["bid", "5000"]]));
    quoted(&mut bench, Ok(Price::msat(5_000)));
    assert_eq!(bench.invoices[0].1.price, Price::msat(5_000));
}

#[test]
fn refuses_a_job_that_the_handler_has_no_price_for() {
    let mut bench = Bench::new();
    let event = request(QUOTED, 1);
    bench.ask(&event);
    quoted(&mut bench, Err("only PDF files"));
    assert_eq!(bench.last_error().as_deref(), Some("only PDF files"));
    assert_eq!(bench.state_of(&event), JobState::Rejected);
}

#[test]
fn asks_the_handler_again_when_no_price_came_and_takes_the_first_one() {
    let mut bench = Bench::new();
    let event = request(QUOTED, 1);
    bench.ask(&event);
    bench.crash();
    bench.seconds(59);
    assert!(bench.quotes.is_empty());
    bench.seconds(1);
    assert_eq!(bench.quotes.len(), 1);
    bench.seconds(60);
    assert_eq!(bench.quotes.len(), 2);
    quoted(&mut bench, Ok(Price::FREE));
    quoted(&mut bench, Ok(Price::sat(7)));
    assert_eq!(price_on_record(&bench), "0");
    assert_eq!((bench.runs.len(), bench.invoices.len()), (1, 0));
}

#[test]
fn takes_no_price_for_a_job_that_it_does_not_have() {
    let mut bench = Bench::new();
    bench.give(&Input::Quoted { job: request(QUOTED, 1).id, price: Ok(Price::FREE) });
    assert!(bench.runs.is_empty() && bench.published.is_empty());
}
