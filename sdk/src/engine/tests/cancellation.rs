//! Cancellation in every state of a job.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{EventId, Keys, Kind, Sql, Timestamp, UnsignedEvent};

use super::bench::*;
use super::events::*;
use crate::engine::intake::cancellation::{CANCELLED, MAX_NOTED, MAX_NOTED_PER_AUTHOR};
use crate::engine::job_state::JobState;
use crate::engine::{Changes, Input, Output, Report, RequestAdmission, RunId};
use crate::nip90::Status;
use crate::payment::wallet::Invoice;

/// Brings a job into an unfinished state, and returns its request.
fn bring_to(bench: &mut Bench, state: JobState) -> openagents_host::VerifiedEvent {
    let event = match state {
        JobState::Received => request(QUOTED, 1),
        JobState::AwaitingInput => chained(SHARED, 1, &[EventId::from_bytes([9; 32])]),
        JobState::AwaitingPayment => request(PAID, 1),
        JobState::Queued => {
            bench.ask(&request(EXCLUSIVE, 7));
            request(EXCLUSIVE, 1)
        }
        _ => request(SHARED, 1),
    };
    bench.ask(&event);
    assert_eq!(bench.state_of(&event), state);
    event
}

#[test]
fn ends_a_job_in_whatever_state_it_is() {
    for state in JobState::ALL.into_iter().filter(|state| !state.is_final()) {
        let mut bench = Bench::new();
        let event = bring_to(&mut bench, state);
        let runs = bench.runs.len();
        assert_eq!(bench.cancel(&event, &customer()), RequestAdmission::Cancellation);
        assert_eq!(bench.state_of(&event), JobState::Cancelled, "{state}");
        assert_eq!(bench.last_error().as_deref(), Some(CANCELLED), "{state}");
        assert_eq!(bench.aborted.len(), usize::from(state == JobState::Running), "{state}");
        assert_eq!(bench.runs.len(), runs - bench.aborted.len());

        // Later inputs for the job are ignored.
        bench.give(&Input::Quoted { job: event.id, price: Ok(crate::price::Price::FREE) });
        bench.give(&Input::Resolved { job: event.id, events: vec![], blobs: vec![] });
        let invoice = Invoice {
            bolt11: "lnbc1".into(),
            payment_hash: event.id.to_hex(),
            expires_at: bench.now,
            verify_url: None,
        };
        bench.give(&Input::Invoiced { job: event.id, invoice: Ok(invoice) });
        bench.seconds(3_600);
        assert_eq!(bench.state_of(&event), JobState::Cancelled);
        assert_eq!(bench.ends()[&event.id].len(), 1, "{state}");
        assert_eq!(bench.count("job_input"), 0);
    }
}

#[test]
fn ends_the_run_and_ignores_what_it_still_says() {
    let mut bench = Bench::new();
    let event = request(EXCLUSIVE, 1);
    bench.ask(&event);
    bench.ask(&request(EXCLUSIVE, 2));
    let lease = bench.runs[0].lease;
    bench.cancel(&event, &customer());
    assert_eq!(bench.aborted, [lease]);
    assert_eq!(bench.running(), [RunId::Job(request(EXCLUSIVE, 2).id)], "the next one may begin");
    bench.give(&Input::Reported { lease, report: Report::Progress("still at it".into()) });
    bench.seconds(2);
    bench.done_with_state(lease, "late", "{\"n\":1}");
    assert_eq!(bench.results(), [""; 0]);
    assert_eq!(bench.engine.state().json, None);
    assert_eq!(bench.statuses(), [Status::Processing, Status::Error, Status::Processing]);
}

#[test]
fn heeds_nobody_but_the_customer() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    bench.cancel(&event, &stranger());
    bench.ask(&event);
    bench.cancel(&event, &stranger());
    assert!(bench.aborted.is_empty());
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    assert_eq!(bench.results(), ["Hello"]);
}

#[test]
fn does_not_begin_what_was_cancelled_before_it_came() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    assert_eq!(bench.cancel(&event, &customer()), RequestAdmission::Cancellation);
    bench.crash();
    bench.seconds(23 * 60 * 60);
    assert_eq!(bench.ask(&event), RequestAdmission::Rejected);
    assert_eq!(bench.state_of(&event), JobState::Cancelled);
    assert_eq!(bench.last_error().as_deref(), Some(CANCELLED));
    assert!(bench.runs.is_empty());
}

#[test]
fn a_job_that_is_over_stays_as_it_is() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    bench.ask(&event);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    bench.cancel(&event, &customer());
    assert_eq!(bench.state_of(&event), JobState::Done);
    assert_eq!(bench.own().len(), 2);
    assert_eq!(bench.count("cancellation"), 0);
}

#[test]
fn ends_several_jobs_at_once() {
    let mut bench = Bench::new();
    let events = [1, 2, 3].map(|number| request(SHARED, number));
    for event in &events {
        bench.ask(event);
    }
    let tags = events[..2].iter().map(|event| vec!["e".to_owned(), event.id.to_hex()]);
    let cancellation = UnsignedEvent::new(Kind(5), "").tags(tags).sign(&customer(), START);
    bench.ask(&cancellation);
    assert_eq!(
        events.map(|event| bench.state_of(&event)),
        [JobState::Cancelled, JobState::Cancelled, JobState::Running]
    );
}

#[test]
fn ends_a_job_whose_request_on_record_is_damaged() {
    let mut bench = Bench::new();
    let event = bring_to(&mut bench, JobState::AwaitingInput);
    bench.sql.damage("UPDATE job SET request = '{}'");
    bench.crash();
    bench.cancel(&event, &customer());
    assert_eq!(bench.state_of(&event), JobState::Cancelled);
}

#[test]
fn a_deletion_of_other_things_is_none_of_its_business() {
    let mut bench = Bench::new();
    let deletion =
        UnsignedEvent::new(Kind(5), "").tag(["e", &"ab".repeat(32)]).tag(["k", "1"]).sign(&customer(), START);
    assert_eq!(bench.ask(&deletion), RequestAdmission::NotOurs);
    assert_eq!(bench.count("cancellation"), 0);
}

#[test]
fn keeps_cancellations_as_long_as_a_request_can_come_and_not_for_ever() {
    let mut bench = Bench::new();
    bench.cancel(&request(SHARED, 1), &customer());
    bench.seconds(24 * 60 * 60);
    bench.cancel(&request(SHARED, 2), &customer());
    assert_eq!(bench.count("cancellation"), 2, "a request can be dated ahead a little");
    bench.seconds(16 * 60);
    bench.cancel(&request(SHARED, 3), &customer());
    assert_eq!(bench.count("cancellation"), 2);
}

/// Deletions of this many requests that do not exist, in one event.
fn deletions(bench: &mut Bench, author: &Keys, number: u32) {
    let id = |number: u32| {
        let mut id = [1; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        vec!["e".to_owned(), EventId::from_bytes(id).to_hex()]
    };
    let first = u32::try_from(bench.now.as_millis() % 1_000_000).unwrap() * 1_000;
    bench.now = bench.now + Duration::from_millis(1);
    bench.ask(
        &UnsignedEvent::new(Kind(5), "").tags((first..first + number).map(id)).sign(author, Timestamp::EPOCH),
    );
}

#[test]
fn one_author_has_only_so_many_cancellations_of_what_never_was() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    bench.cancel(&event, &customer());
    for _ in 0..3 {
        deletions(&mut bench, &stranger(), 80);
    }
    assert_eq!(bench.count("cancellation"), u64::from(MAX_NOTED_PER_AUTHOR) + 1);
    assert_eq!(bench.ask(&event), RequestAdmission::Rejected, "that of another customer holds");
    assert_eq!(bench.state_of(&event), JobState::Cancelled);
}

#[test]
fn those_with_many_cancellations_do_not_push_out_those_with_few() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    bench.cancel(&event, &customer());
    for author in 0..110_u8 {
        deletions(&mut bench, &Keys::from_secret(&[100 + author; 32]).unwrap(), MAX_NOTED_PER_AUTHOR);
        assert!(bench.count("cancellation") <= u64::from(MAX_NOTED), "{author}");
    }
    assert!(bench.count("cancellation") > 8_000);
    let most = "SELECT max(number) FROM (SELECT count(*) AS number FROM cancellation GROUP BY author)";
    let least = "SELECT min(number) FROM (SELECT count(*) AS number FROM cancellation WHERE author <> ? GROUP BY author)";
    let me = customer().public_key();
    let (most, least) = (
        bench.sql.first::<(u64,)>(most, &[]).unwrap().unwrap().0,
        bench.sql.first::<(u64,)>(least, values![&me]).unwrap().unwrap().0,
    );
    assert!(least >= 80 && most <= 100, "all of the others have lost about as many: {least} to {most}");
    bench.ask(&event);
    assert_eq!(bench.state_of(&event), JobState::Cancelled);
}

#[test]
fn a_run_whose_cancellation_was_not_committed_goes_on() {
    let mut bench = Bench::new();
    let event = request(EXCLUSIVE, 1);
    bench.ask(&event);
    let cancellation =
        crate::nip90::Cancellation::event(&event.id, event.kind, None).sign(&customer(), START);
    bench.sql.fail_after(5);
    bench.give(&Input::Request { event: cancellation, source: None, ticket: 0 });
    assert!(bench.aborted.is_empty());
    bench.ask(&request(EXCLUSIVE, 2));
    assert_eq!(bench.runs.len(), 1, "it is still alone");
    let lease = bench.next_run();
    bench.finish(lease, crate::engine::RunOutcome::Done(Output::new("Hello")), Changes::default());
    assert_eq!(bench.results(), ["Hello"]);
}
