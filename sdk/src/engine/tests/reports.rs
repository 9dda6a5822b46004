//! Progress and partial output.

use std::time::Duration;

use super::bench::*;
use super::events::*;
use crate::engine::{Input, Lease, Report};
use crate::nip90::Status;

fn progress(bench: &mut Bench, lease: Lease, text: &str) {
    bench.give(&Input::Reported { lease, report: Report::Progress(text.into()) });
}

fn partial(bench: &mut Bench, lease: Lease, text: &str) {
    bench.give(&Input::Reported { lease, report: Report::Partial(text.into()) });
}

/// The feedback after the first `processing`.
fn said(bench: &Bench) -> Vec<(Status, String)> {
    let said = bench.feedback().into_iter().skip(1);
    said.map(|feedback| (feedback.status, feedback.message.unwrap_or(feedback.content))).collect()
}

fn running() -> (Bench, Lease) {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let lease = bench.next_run();
    (bench, lease)
}

#[test]
fn passes_on_what_a_handler_says() {
    let (mut bench, lease) = running();
    progress(&mut bench, lease, "half");
    bench.seconds(1);
    partial(&mut bench, lease, "Hel");
    assert_eq!(said(&bench), [(Status::Processing, "half".into()), (Status::Partial, "Hel".into())]);
}

#[test]
fn says_something_once_a_second_and_the_last_word_wins() {
    let (mut bench, lease) = running();
    for percent in 0..=30 {
        progress(&mut bench, lease, &format!("{percent} %"));
        bench.pass(Duration::from_millis(100));
    }
    let words: Vec<String> = said(&bench).into_iter().map(|(_, word)| word).collect();
    assert_eq!(words, ["0 %", "9 %", "19 %", "29 %"]);
    bench.seconds(1);
    assert_eq!(said(&bench).last().unwrap().1, "30 %");
    bench.seconds(10);
    assert_eq!(said(&bench).len(), 5, "nothing is said twice");
}

#[test]
fn a_word_of_the_one_kind_does_not_replace_one_of_the_other() {
    let (mut bench, lease) = running();
    progress(&mut bench, lease, "one");
    progress(&mut bench, lease, "two");
    partial(&mut bench, lease, "Hel");
    bench.seconds(1);
    assert_eq!(
        said(&bench),
        [
            (Status::Processing, "one".into()),
            (Status::Processing, "two".into()),
            (Status::Partial, "Hel".into())
        ]
    );
}

#[test]
fn says_nothing_after_the_end() {
    let (mut bench, lease) = running();
    progress(&mut bench, lease, "half");
    progress(&mut bench, lease, "three quarters");
    bench.done(lease, "Hello");
    progress(&mut bench, lease, "late");
    bench.seconds(5);
    assert_eq!(said(&bench), [(Status::Processing, "half".into())]);
    assert_eq!(bench.results(), ["Hello"]);
}

#[test]
fn listens_only_to_the_attempt_at_hand() {
    let (mut bench, lost) = running();
    bench.crash();
    progress(&mut bench, lost, "from before");
    let lease = bench.next_run();
    progress(&mut bench, lost, "still from before");
    progress(&mut bench, lease, "now");
    assert_eq!(said(&bench), [(Status::Processing, "now".into())]);
}

#[test]
fn each_job_has_its_own_second() {
    let (mut bench, first) = running();
    bench.ask(&request(SHARED, 2));
    let second = bench.next_run();
    progress(&mut bench, first, "first");
    progress(&mut bench, second, "second");
    let words: Vec<String> = bench.feedback().into_iter().filter_map(|feedback| feedback.message).collect();
    assert_eq!(words, ["first", "second"]);
}

#[test]
fn keeps_a_partial_output_that_is_too_long_to_itself() {
    let (mut bench, lease) = running();
    partial(&mut bench, lease, &"x".repeat(500_001));
    assert!(said(&bench).is_empty());
    partial(&mut bench, lease, &"x".repeat(500_000));
    assert_eq!(said(&bench).len(), 1);
}
