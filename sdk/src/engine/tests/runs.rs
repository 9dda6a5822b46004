//! Leases, attempts, order and concurrency of runs.

use std::time::Duration;

use openagents_host::Engine;

use super::bench::*;
use super::events::*;
use crate::engine::job_state::JobState;
use crate::engine::{Changes, Effect, Input, Lease, RunOutcome};
use crate::nip90::Status;

#[test]
fn runs_shared_handlers_side_by_side_and_exclusive_ones_alone() {
    let mut bench = Bench::new();
    for (number, kind) in (1..).zip([SHARED, SHARED, EXCLUSIVE, SHARED, EXCLUSIVE]) {
        bench.ask(&request(kind, number));
    }
    assert_eq!(bench.runs.len(), 2, "the exclusive one waits, and nothing overtakes it");
    let (first, second) = (bench.next_run(), bench.next_run());
    bench.done(first, "1");
    assert!(bench.runs.is_empty());
    bench.done(second, "2");
    let third = bench.next_run();
    assert!(bench.runs.is_empty(), "the shared one behind waits for the exclusive one");
    bench.done(third, "3");
    let fourth = bench.next_run();
    assert!(bench.runs.is_empty());
    bench.done(fourth, "4");
    let fifth = bench.next_run();
    bench.done(fifth, "5");
    assert_eq!(bench.results(), ["1", "2", "3", "4", "5"]);
}

#[test]
fn runs_no_more_than_its_concurrency_at_once() {
    let mut bench = Bench::with(|spec| spec.declaration.concurrency = 2);
    for number in 1..=4 {
        bench.ask(&request(SHARED, number));
    }
    assert_eq!(bench.runs.len(), 2);
    for left in [2, 2, 1, 0] {
        let lease = bench.next_run();
        bench.done(lease, "");
        assert_eq!(bench.runs.len(), left);
    }
}

#[test]
fn a_concurrency_of_none_is_one() {
    let mut bench = Bench::with(|spec| spec.declaration.concurrency = 0);
    bench.ask(&request(SHARED, 1));
    assert_eq!(bench.runs.len(), 1);
}

#[test]
fn commits_the_state_with_the_result_and_shows_it_to_the_next_run() {
    let mut bench = Bench::new();
    bench.ask(&request(EXCLUSIVE, 1));
    bench.ask(&request(EXCLUSIVE, 2));
    let first = bench.runs.remove(0);
    assert_eq!(first.state, None);
    bench.done_with_state(first.lease, "1", "{\"n\":1}");
    let second = bench.runs.remove(0);
    assert_eq!(second.state.as_deref(), Some("{\"n\":1}"));
    bench.fail(second.lease, "no", false);
    bench.crash();
    assert_eq!(bench.engine.state().json.as_deref(), Some("{\"n\":1}"), "a failed job leaves no state");
    assert_eq!((bench.engine.state().version, bench.engine.state().form), (1, 1));
}

#[test]
fn tells_the_customer_about_a_final_error_at_once() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let lease = bench.next_run();
    bench.fail(lease, "no such model", false);
    assert_eq!(bench.last_error().as_deref(), Some("no such model"));
    assert_eq!(bench.state_of(&request(SHARED, 1)), JobState::Failed);
    bench.seconds(3_600);
    assert!(bench.results().is_empty() && bench.runs.is_empty());
}

#[test]
fn tries_a_retryable_error_again_after_growing_pauses() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    for (attempt, pause) in [(1, 1), (2, 2)] {
        let lease = bench.next_run();
        assert_eq!(lease.attempt, attempt);
        bench.fail(lease, "later", true);
        bench.pass(Duration::from_millis(pause * 1_000 - 1));
        assert!(bench.runs.is_empty());
        bench.pass(Duration::from_millis(1));
    }
    let lease = bench.next_run();
    bench.fail(lease, "later", true);
    bench.seconds(3_600);
    assert!(bench.runs.is_empty());
    assert_eq!(bench.statuses(), [Status::Processing, Status::Error]);
    assert_eq!(bench.last_error().as_deref(), Some("later"));
}

#[test]
fn a_retryable_error_can_say_when_to_try_again() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let lease = bench.next_run();
    let (message, pause) = ("busy".to_owned(), Some(Duration::from_secs(90)));
    bench.finish(lease, RunOutcome::Failed { message, retryable: true, pause }, Changes::default());
    bench.seconds(89);
    assert!(bench.runs.is_empty());
    bench.seconds(1);
    assert_eq!(bench.next_run().attempt, 2);
}

#[test]
fn lets_other_jobs_run_while_one_waits_for_its_next_attempt() {
    let mut bench = Bench::new();
    bench.ask(&request(EXCLUSIVE, 1));
    bench.ask(&request(EXCLUSIVE, 2));
    let lease = bench.next_run();
    bench.fail(lease, "later", true);
    let other = bench.next_run();
    assert_ne!(other.run, lease.run);
    bench.seconds(1);
    assert!(bench.runs.is_empty());
    bench.done(other, "2");
    assert_eq!(bench.next_run(), Lease { run: lease.run, attempt: 2 });
}

#[test]
fn runs_a_job_again_whose_process_ended_and_ignores_the_lost_run() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let lost = bench.next_run();
    bench.crash();
    let again = bench.next_run();
    assert_eq!((lost.attempt, again.attempt), (1, 2));
    bench.done(lost, "late");
    assert!(bench.results().is_empty());
    bench.done(again, "right");
    bench.done(again, "twice");
    assert_eq!(bench.results(), ["right"]);
    assert_eq!(bench.statuses(), [Status::Processing], "work on it is announced once");
    let before = bench.published.len();
    bench.crash();
    let again: Vec<_> = bench.published[before..].iter().map(|(event, _)| event.id).collect();
    let own: Vec<_> = bench.own().iter().map(|event| event.id).collect();
    assert_eq!(again, own, "the same events are delivered until they are confirmed");
}

#[test]
fn gives_up_a_job_that_ends_the_process_every_time() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    for _ in 0..3 {
        assert_eq!(bench.runs.len(), 1);
        bench.crash();
    }
    assert!(bench.runs.is_empty());
    assert!(bench.last_error().unwrap().contains("interrupted"));
}

#[test]
fn takes_back_a_lease_that_runs_out() {
    let mut bench = Bench::new();
    bench.ask(&request(EXCLUSIVE, 1));
    let hung = bench.next_run();
    bench.seconds(69);
    assert!(bench.runs.is_empty());
    bench.seconds(2);
    let again = bench.next_run();
    assert_eq!(again.attempt, 2);
    bench.done_with_state(hung, "late", "{}");
    bench.done(again, "right");
    assert_eq!(bench.results(), ["right"]);
    assert_eq!(bench.engine.state().json, None);
}

#[test]
fn refuses_to_publish_what_no_relay_could_keep() {
    let mut bench = Bench::new();
    bench.ask(&request(EXCLUSIVE, 1));
    let lease = bench.next_run();
    bench.done_with_state(lease, &"x".repeat(1_500_000), "{\"n\":1}");
    assert!(bench.results().is_empty());
    assert_eq!(bench.last_error().as_deref(), Some("the output is too large for an event"));
    assert_eq!(bench.engine.state().json, None);
}

#[test]
fn fails_a_job_at_once_whose_changes_are_more_than_the_database_takes() {
    let mut bench = Bench::new();
    bench.ask(&request(EXCLUSIVE, 1));
    for _ in 0..3 {
        let lease = bench.next_run();
        bench.done_with_state(lease, "1", &format!("\"{}\"", "x".repeat(2_100_000)));
        assert!(bench.warnings.pop().unwrap().contains("cannot be stored"));
        bench.seconds(4);
    }
    assert!(bench.last_error().unwrap().contains("could not store"));
    assert!(bench.results().is_empty());
}

#[test]
fn gives_up_a_job_whose_request_on_record_is_damaged() {
    let mut bench = Bench::with(|spec| spec.declaration.concurrency = 1);
    for (number, kind) in [(1, SHARED), (2, SHARED), (3, QUOTED), (4, SHARED)] {
        bench.ask(&request(kind, number));
    }
    bench.sql.damage("UPDATE job SET request = '{}' WHERE seq IN (2, 3)");
    bench.crash();
    let first = bench.next_run();
    bench.done(first, "1");
    let last = bench.next_run();
    bench.done(last, "4");
    bench.seconds(60);
    assert_eq!(bench.results(), ["1", "4"]);
    assert_eq!(bench.warnings.len(), 2, "{:?}", bench.warnings);
    assert_eq!(bench.engine.unfinished.total(), 0);
}

#[test]
fn forgets_leases_of_a_transaction_that_was_undone() {
    let mut bench = Bench::new();
    let input = Input::Request { event: request(EXCLUSIVE, 1), source: None, ticket: 0 };
    bench.give_and_undo(&[input]);
    bench.ask(&request(EXCLUSIVE, 2));
    assert_eq!(bench.runs.len(), 1, "the lost exclusive run does not block the next");
}

#[test]
fn an_outcome_of_a_transaction_that_was_undone_is_taken_again() {
    let mut bench = Bench::with(|spec| spec.hooks.on_error = Some(false));
    bench.ask(&request(EXCLUSIVE, 1));
    bench.ask(&request(EXCLUSIVE, 2));
    let lease = bench.next_run();
    let failed = Input::Finished { lease, outcome: failed("no", false), changes: Changes::default() };
    bench.give_and_undo(std::slice::from_ref(&failed));
    assert_eq!(bench.engine.running.len(), 1, "it is not over, so the next one may not begin");
    assert!(bench.engine.failures.is_empty(), "nothing has failed");
    bench.give(&failed);
    assert_eq!(bench.statuses(), [Status::Processing, Status::Error]);
}

#[test]
fn forgets_nothing_while_something_runs() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    bench.engine.forget(bench.now);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    bench.engine.forget(bench.now);
    bench.deliver_all();
    bench.engine.forget(bench.now);
    assert_eq!(bench.results(), ["Hello"]);
    let mut effects = Vec::new();
    bench.engine.alarm(bench.now, &mut effects);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Run { .. })));
}
