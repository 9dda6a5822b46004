//! Events that mention the agent: each is handled once.

use std::time::Duration;

use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};

use super::bench::*;
use super::events::*;
use crate::declaration::EventDeclaration;
use crate::engine::{
    Changes, EventSpec, EventToPublish, Lease, Output, Publication, RequestAdmission, RunId, RunOutcome, Task,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn bench() -> Bench {
    Bench::with(|spec| {
        let event = |kind, exclusive| EventSpec {
            declaration: EventDeclaration { kind, name: "mentioned", about: "", timeout: MINUTE },
            exclusive,
        };
        spec.events = vec![event(1, true), event(7, false)];
    })
}

fn note_at(author: &Keys, kind: u16, text: &str, at: Timestamp) -> VerifiedEvent {
    UnsignedEvent::new(kind, text).tag(["p", &agent().public_key().to_hex()]).sign(author, at)
}

fn note(text: &str) -> VerifiedEvent {
    note_at(&customer(), 1, text, START)
}

/// The next run's event.
fn handling(bench: &mut Bench) -> (Lease, String) {
    assert!(!bench.runs.is_empty(), "nothing runs");
    let started = bench.runs.remove(0);
    match started.task {
        Task::Event { event, .. } => (started.lease, event.content.clone()),
        other => panic!("{other:?}"),
    }
}

fn done(bench: &mut Bench, lease: Lease) {
    bench.finish(lease, RunOutcome::Done(Output::default()), Changes::default());
}

#[test]
fn is_handled_once_with_its_changes() {
    let mut bench = bench();
    assert_eq!(bench.ask(&note("a")), RequestAdmission::Received);
    assert_eq!(bench.ask(&note("a")), RequestAdmission::Duplicate);
    let (lease, text) = handling(&mut bench);
    assert_eq!((text.as_str(), bench.runs.len()), ("a", 0));
    let reply = Publication {
        event: EventToPublish::Unsigned(UnsignedEvent::new(1, "reply")),
        to: crate::engine::Destination::Own,
    };
    let changes = Changes { state: Some("{}".into()), events: vec![reply], ..Changes::default() };
    bench.finish(lease, RunOutcome::Done(Output::default()), changes);
    assert_eq!(bench.ask(&note("a")), RequestAdmission::Duplicate);
    bench.crash();
    assert_eq!(bench.ask(&note("a")), RequestAdmission::Duplicate);
    assert!(bench.runs.is_empty());
    assert_eq!(bench.own().iter().filter(|event| event.content == "reply").count(), 1);
}

#[test]
fn is_not_for_the_agent_if_it_is_its_own_mentions_others_or_comes_from_elsewhere() {
    let mut bench = bench();
    let elsewhere = Some("wss://outside.example");
    let other =
        UnsignedEvent::new(1, "").tag(["p", &stranger().public_key().to_hex()]).sign(&customer(), START);
    let nobody = UnsignedEvent::new(1, "").sign(&customer(), START);
    for event in [note_at(&agent(), 1, "", START), other, nobody, note_at(&customer(), 6, "", START)] {
        assert_eq!(bench.ask(&event), RequestAdmission::NotOurs, "{event:?}");
    }
    assert_eq!(bench.ask_from(&note("a"), elsewhere), RequestAdmission::NotOurs);
    assert_eq!(bench.count("received_event"), 0);
}

#[test]
fn is_not_taken_if_it_is_old_or_dated_in_the_future() {
    let mut bench = bench();
    for at in [START - DAY * 8, START + DAY] {
        assert_eq!(bench.ask(&note_at(&customer(), 1, "", at)), RequestAdmission::NotOurs);
    }
    assert_eq!(bench.ask(&note_at(&customer(), 1, "", START - DAY * 6)), RequestAdmission::Received);
}

#[test]
fn is_forgotten_only_once_it_would_be_too_old() {
    let mut bench = bench();
    bench.ask(&note("a"));
    let (lease, _) = handling(&mut bench);
    done(&mut bench, lease);
    bench.pass(DAY * 7);
    assert_eq!(bench.ask(&note("a")), RequestAdmission::Duplicate);
    bench.pass(DAY);
    assert_eq!(bench.ask(&note("a")), RequestAdmission::NotOurs);
    bench.ask(&note_at(&customer(), 1, "b", bench.now));
    assert_eq!(bench.count("received_event"), 1);
}

#[test]
fn is_tried_again_after_a_failure_that_may_pass_and_after_a_lost_process_but_not_for_ever() {
    let mut bench = bench();
    bench.ask(&note("a"));
    for pause in [1, 2] {
        let (lease, _) = handling(&mut bench);
        bench.fail(lease, "not yet", true);
        assert!(bench.runs.is_empty());
        bench.seconds(pause);
    }
    for _ in 3..=5 {
        handling(&mut bench);
        bench.crash();
    }
    assert!(bench.runs.is_empty());
    assert_eq!(bench.ask(&note("a")), RequestAdmission::Duplicate);
    bench.ask(&note("b"));
    let (lease, _) = handling(&mut bench);
    bench.fail(lease, "never", false);
    bench.pass(MINUTE);
    assert!(bench.runs.is_empty());
    assert_eq!(bench.warnings.last().unwrap(), "event, for the last time, failed: never");
}

#[test]
fn a_run_that_hangs_is_given_up_and_its_late_outcome_ignored() {
    let mut bench = bench();
    bench.ask(&note("a"));
    let (hung, _) = handling(&mut bench);
    bench.pass(MINUTE + Duration::from_secs(10));
    bench.seconds(1);
    let (lease, _) = handling(&mut bench);
    bench.finish(
        hung,
        RunOutcome::Done(Output::default()),
        Changes { state: Some("{}".into()), ..Changes::default() },
    );
    assert_eq!(bench.engine.state().json, None);
    done(&mut bench, lease);
    assert!(bench.runs.is_empty());
}

#[test]
fn only_so_many_wait_of_an_author_and_in_all() {
    let mut bench = bench();
    let author = |number: u8| Keys::from_secret(&[number; 32]).unwrap();
    let mut ask = |author: &Keys, text: usize| bench.ask(&note_at(author, 1, &text.to_string(), START));
    for number in 0..100 {
        assert_eq!(ask(&author(100), number), RequestAdmission::Received);
    }
    assert_eq!(ask(&author(100), 100), RequestAdmission::NoRoom);
    for (author, number) in (1..10).flat_map(|number| (0..100).map(move |text| (author(number + 100), text)))
    {
        assert_eq!(ask(&author, number), RequestAdmission::Received);
    }
    assert_eq!(ask(&author(120), 0), RequestAdmission::NoRoom);
    let (lease, _) = handling(&mut bench);
    done(&mut bench, lease);
    assert_eq!(bench.ask(&note_at(&author(120), 1, "", START)), RequestAdmission::Received);
}

#[test]
fn events_and_jobs_take_turns() {
    let mut bench = bench();
    for text in ["a", "b", "c"] {
        bench.ask(&note(text));
    }
    bench.ask(&request(EXCLUSIVE, 1));
    bench.ask(&request(EXCLUSIVE, 2));
    let mut order = String::new();
    while let Some(run) = bench.running().first().copied() {
        let lease = bench.next_run();
        order.push(if matches!(run, RunId::Event(_)) { 'e' } else { 'j' });
        bench.done(lease, "");
    }
    assert_eq!(order, "ejeje");
}

#[test]
fn starts_again_if_its_start_or_its_end_could_not_be_committed() {
    let mut bench = bench();
    let input = crate::engine::Input::Request { event: note("a"), source: None, ticket: 0 };
    bench.give_and_undo(std::slice::from_ref(&input));
    bench.give(&input);
    let (lease, _) = handling(&mut bench);
    let finished = crate::engine::Input::Finished {
        lease,
        outcome: RunOutcome::Done(Output::default()),
        changes: Changes::default(),
    };
    bench.give_and_undo(std::slice::from_ref(&finished));
    bench.give(&finished);
    assert!(bench.runs.is_empty());
    assert_eq!(bench.ask(&note("a")), RequestAdmission::Duplicate);
}

#[test]
fn goes_with_an_author_who_vanishes() {
    let mut bench = bench();
    bench.ask(&note("a"));
    bench.ask(&note("b"));
    let (lease, _) = handling(&mut bench);
    bench.ask(&UnsignedEvent::new(Kind::VANISH, "").sign(&customer(), START));
    assert_eq!((bench.count("received_event"), bench.aborted.as_slice()), (0, &[lease][..]));
    assert!(bench.runs.is_empty());
}

#[test]
fn is_given_up_if_a_later_release_has_no_function_for_it() {
    let mut bench = bench();
    bench.ask(&note("a"));
    bench.spec.events.clear();
    bench.crash();
    assert!(bench.runs.is_empty());
    assert_eq!(bench.count("received_event WHERE json IS NOT NULL"), 0);
}
