//! Which requests are admitted, and what happens to the others.

use std::time::Duration;

use openagents_host::{Encryption, EventId, Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};

use super::bench::*;
use super::events::*;
use crate::declaration::Requests;
use crate::engine::job_state::JobState;
use crate::engine::{Destination, Input, Report, RequestAdmission, Task};
use crate::nip90::{Feedback, JobResultEvent, Status};

fn at(created_at: Timestamp, tags: &[&[&str]]) -> VerifiedEvent {
    let tags = tags.iter().map(|tag| tag.iter().map(|word| (*word).to_owned()).collect());
    UnsignedEvent::new(Kind(SHARED), "").tags(tags).sign(&customer(), created_at)
}

fn sealed(by: &Keys, scheme: Encryption, plaintext: &str) -> VerifiedEvent {
    let content = by.encrypt(&agent().public_key(), plaintext, scheme).unwrap();
    UnsignedEvent::new(Kind(SHARED), content)
        .tag(["p", &agent().public_key().to_hex()])
        .tag(["encrypted"])
        .sign(by, START)
}

#[test]
fn answers_a_request_with_processing_and_one_result() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(&request(EXCLUSIVE, 1)), RequestAdmission::Queued);
    let lease = bench.next_run();
    bench.done_with_state(lease, "Hello", "{\"n\":1}");
    bench.deliver_all();
    assert_eq!(bench.statuses(), [Status::Processing]);
    assert_eq!(bench.results(), ["Hello"]);
    assert_eq!(bench.count("outbox"), 0);
    assert_eq!(openagents_host::Engine::next_alarm(&bench.engine), None);
    for event in bench.own() {
        assert_eq!(event.pubkey, agent().public_key());
    }
}

#[test]
fn takes_a_request_once() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    assert_eq!(
        [(); 3].map(|()| bench.ask(&event)),
        [RequestAdmission::Queued, RequestAdmission::Duplicate, RequestAdmission::Duplicate]
    );
    assert_eq!(bench.runs.len(), 1);
}

#[test]
fn leaves_requests_for_others_alone() {
    let mut bench = Bench::new();
    let other = stranger().public_key().to_hex();
    for event in [
        tagged(SHARED, 1, &[&["p", &other]]),
        tagged(SHARED, 1, &[&["p", "not a key"]]),
        tagged(5999, 1, &[]),
        tagged(1, 1, &[]),
        tagged(SHARED + 1000, 1, &[]),
    ] {
        assert_eq!(bench.ask(&event), RequestAdmission::NotOurs, "{}", event.json());
    }
    assert!(bench.runs.is_empty() && bench.published.is_empty());
    assert_eq!(bench.count("job"), 0);
    bench.ask(&tagged(SHARED, 1, &[&["p", &other], &["p", &agent().public_key().to_hex()]]));
    assert_eq!(bench.runs.len(), 1);
}

#[test]
fn an_agent_that_wants_to_be_named_takes_no_other_requests() {
    let mut bench = Bench::with(|spec| spec.declaration.requests = Requests::Named);
    assert_eq!(bench.ask(&request(SHARED, 1)), RequestAdmission::NotOurs);
    assert_eq!(
        bench.ask(&tagged(SHARED, 1, &[&["p", &agent().public_key().to_hex()]])),
        RequestAdmission::Queued
    );
}

#[test]
fn answers_a_sealed_request_in_its_own_scheme_and_says_nothing_in_clear() {
    for scheme in [Encryption::Nip04, Encryption::Nip44] {
        let mut bench = Bench::new();
        let event = sealed(&customer(), scheme, r#"[["i","my diagnosis","text"]]"#);
        assert_eq!(bench.ask(&event), RequestAdmission::Queued);
        let Task::Job { request, .. } = bench.runs[0].task.clone() else { panic!() };
        assert_eq!(request.text(), Some("my diagnosis"));
        let lease = bench.next_run();
        bench.give(&Input::Reported { lease, report: Report::Partial("half of my diagnosis".into()) });
        bench.done(lease, "all of my diagnosis");
        let said: Vec<String> = bench
            .own()
            .iter()
            .filter(|event| !event.content.is_empty())
            .map(|event| {
                assert_eq!(Encryption::of(&event.content), scheme);
                customer().decrypt(&agent().public_key(), &event.content).unwrap().0
            })
            .collect();
        assert_eq!(said, ["half of my diagnosis", "all of my diagnosis"]);
        for event in bench.own() {
            assert!(!event.json().contains("diagnosis"), "{}", event.json());
        }
        assert!(JobResultEvent::from_event(bench.own().last().unwrap()).unwrap().encrypted);
    }
}

#[test]
fn seals_the_error_of_a_sealed_request() {
    let mut bench = Bench::new();
    bench.ask(&sealed(&customer(), Encryption::Nip44, r#"[["i","x","text"]]"#));
    let lease = bench.next_run();
    bench.fail(lease, "cannot read x", false);
    let last = bench.own().pop().unwrap().clone();
    let feedback = Feedback::from_event(&last).unwrap();
    assert_eq!(feedback.status, Status::Error);
    assert_eq!(last.tags_named("status").next().unwrap().len(), 2, "the status has no words");
    assert_eq!(customer().decrypt(&agent().public_key(), &last.content).unwrap().0, "cannot read x");
}

#[test]
fn reads_a_sealed_request_again_after_the_process_ended() {
    let mut bench = Bench::new();
    bench.ask(&sealed(&customer(), Encryption::Nip44, r#"[["i","secret","text"]]"#));
    let on_record = bench.sql_text("SELECT request FROM job");
    assert!(!on_record.contains("secret"), "what is on record stays encrypted");
    bench.crash();
    let Task::Job { request, .. } = &bench.runs[0].task else { panic!() };
    assert_eq!(request.text(), Some("secret"));
}

#[test]
fn is_silent_towards_those_it_cannot_understand() {
    let mut bench = Bench::new();
    let foreign = customer().encrypt(&stranger().public_key(), "[]", Encryption::Nip44).unwrap();
    let content = |content: &str| {
        let me = agent().public_key().to_hex();
        UnsignedEvent::new(Kind(SHARED), content).tag(["p", &me]).tag(["encrypted"]).sign(&customer(), START)
    };
    for event in [
        content("nonsense"),
        content(""),
        content(&foreign),
        sealed(&customer(), Encryption::Nip44, "no tags"),
    ] {
        assert_eq!(bench.ask(&event), RequestAdmission::NotOurs);
    }
    assert!(bench.published.is_empty());
}

#[test]
fn says_why_it_does_not_take_a_request() {
    let ahead = START + Duration::from_secs(15 * 60 + 1);
    let behind = START - Duration::from_secs(24 * 60 * 60 + 1);
    let expiry = START.as_seconds().to_string();
    let many: Vec<EventId> = (0..17).map(|byte| EventId::from_bytes([byte; 32])).collect();
    for (event, why) in [
        (at(START, &[&["expiration", &expiry]]), "expired"),
        (at(behind, &[]), "older than 86400 s"),
        (at(ahead, &[]), "in the future"),
        (at(Timestamp::from_millis(u64::MAX), &[]), "in the future"),
        (at(START, &[&["i", "not an id", "job"]]), "64 hex characters"),
        (at(START, &[&["i", "", "job"]]), "64 hex characters"),
        (chained(SHARED, 1, &many), "at most 16 job inputs"),
    ] {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(&event), RequestAdmission::Rejected, "{why}");
        assert_eq!(bench.state_of(&event), JobState::Rejected);
        assert!(bench.last_error().unwrap().contains(why), "{:?}", bench.last_error());
        assert!(bench.runs.is_empty());
        assert_eq!(bench.ask(&event), RequestAdmission::Duplicate, "it is refused once");
        assert_eq!(bench.own().len(), 1);
    }
}

#[test]
fn takes_a_request_that_is_just_young_and_just_old_enough() {
    let mut bench = Bench::new();
    let later = (START + Duration::from_secs(1)).as_seconds().to_string();
    for event in [
        at(START + Duration::from_secs(15 * 60), &[]),
        at(START - Duration::from_secs(24 * 60 * 60), &[]),
        at(START, &[&["expiration", &later]]),
        chained(SHARED, 1, &(0..16).map(|byte| EventId::from_bytes([byte; 32])).collect::<Vec<_>>()),
    ] {
        assert_eq!(bench.ask(&event), RequestAdmission::Queued);
    }
}

#[test]
fn is_silent_about_old_requests_to_nobody_that_an_outside_relay_still_keeps() {
    let behind = START - Duration::from_secs(2 * 24 * 60 * 60);
    let mut bench = Bench::new();
    assert_eq!(bench.ask_from(&at(behind, &[]), Some(EXTERNAL)), RequestAdmission::NotOurs);
    assert_eq!(bench.count("job"), 0);
    let named = at(behind, &[&["p", &agent().public_key().to_hex()]]);
    assert_eq!(bench.ask_from(&named, Some(EXTERNAL)), RequestAdmission::Rejected);
    assert_eq!(bench.own().len(), 1);
}

#[test]
fn leaves_a_request_alone_that_would_leave_no_room_for_its_answer() {
    let mut bench = Bench::new();
    let large = |bytes: usize| tagged(SHARED, 1, &[&["i", &"x".repeat(bytes), "text"]]);
    assert_eq!(bench.ask(&large(1_600_000)), RequestAdmission::NotOurs);
    assert_eq!(bench.ask(&large(1_400_000)), RequestAdmission::Queued);
    let lease = bench.next_run();
    bench.done(lease, "short, but its result repeats the request");
    assert_eq!(bench.last_error().as_deref(), Some("the output is too large for an event"));
}

#[test]
fn takes_no_more_jobs_than_its_queue_holds() {
    let mut bench = Bench::with(|spec| spec.declaration.queue = 2);
    let asked = [1, 2, 3].map(|number| bench.ask(&request(SHARED, number)));
    assert_eq!(asked, [RequestAdmission::Queued, RequestAdmission::Queued, RequestAdmission::Rejected]);
    assert!(bench.last_error().unwrap().contains("try again later"));
    let lease = bench.next_run();
    bench.done(lease, "1");
    assert_eq!(bench.ask(&request(SHARED, 4)), RequestAdmission::Queued, "there is room again");
}

/// Request ids that nobody has published.
fn unknown(number: u64) -> EventId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    EventId::from_bytes(bytes)
}

#[test]
fn jobs_that_wait_for_what_never_comes_leave_the_queue_to_others() {
    let mut bench = Bench::with(|spec| spec.declaration.queue = 20);
    let asked = (0..30).map(|number| bench.ask(&chained(SHARED, number, &[unknown(number)])));
    let admitted = asked.filter(|admission| *admission == RequestAdmission::Queued).count();
    assert_eq!(admitted, 16, "so many of one customer");
    assert!(bench.last_error().unwrap().contains("too many unfinished jobs"));
    let free = |number: u64| {
        UnsignedEvent::new(Kind(SHARED), "")
            .tag(["i", &unknown(number).to_hex(), "job"])
            .sign(&stranger(), START)
    };
    let asked: Vec<_> = (0..5).map(|number| bench.ask(&free(number))).collect();
    assert_eq!(asked[3..], [RequestAdmission::Queued, RequestAdmission::Rejected], "so many of all");
    assert!(bench.last_error().unwrap().contains("queue is full"));
    assert_eq!(
        bench.ask(&request(SHARED, 99)),
        RequestAdmission::Queued,
        "who waits for nothing is not held up"
    );
    assert_eq!(bench.running().len(), 1);
    bench.resolves.clear();
    bench.seconds(6 * 60);
    assert_eq!(bench.count("job_input"), 0, "nobody waits for an hour");
    assert_eq!(bench.ask(&free(9)), RequestAdmission::Queued);
}

#[test]
fn one_customer_leaves_three_quarters_of_the_queue_to_others() {
    let mut bench = Bench::with(|spec| {
        spec.declaration.queue = 100;
        spec.declaration.concurrency = 1;
    });
    let asked = (0..30).map(|number| bench.ask(&request(SHARED, number)));
    assert_eq!(asked.filter(|admission| *admission == RequestAdmission::Queued).count(), 25);
    let other = UnsignedEvent::new(Kind(SHARED), "").sign(&stranger(), START);
    assert_eq!(bench.ask(&other), RequestAdmission::Queued);
    bench.crash();
    assert_eq!(bench.ask(&request(SHARED, 31)), RequestAdmission::Rejected, "also after a restart");
    let lease = bench.next_run();
    bench.done(lease, "1");
    assert_eq!(bench.ask(&request(SHARED, 32)), RequestAdmission::Queued, "there is room again");
}

#[test]
fn says_an_answer_again_on_each_outside_relay_that_the_request_comes_from_later() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    bench.ask(&event);
    let lease = bench.next_run();
    bench.done(lease, "Hello");
    assert_eq!(bench.published.len(), 2);
    for relay in [EXTERNAL, "wss://late.example"] {
        assert_eq!(bench.ask_from(&event, Some(relay)), RequestAdmission::Duplicate);
        let (answer, to) = bench.published.last().unwrap().clone();
        assert_eq!(to, Destination::Relay(relay.into()));
        assert_eq!(answer.id, bench.own().last().unwrap().id);
    }
    for source in [None, Some(EXTERNAL)] {
        assert_eq!(bench.ask_from(&event, source), RequestAdmission::Duplicate);
    }
    assert_eq!(bench.published.len(), 4, "these have it");
}

#[test]
fn answers_on_an_outside_relay_that_the_request_comes_from_while_it_is_worked_on() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    bench.ask(&event);
    let lease = bench.next_run();
    assert_eq!(bench.ask_from(&event, Some(EXTERNAL)), RequestAdmission::Duplicate);
    assert!(bench.published.iter().all(|(_, to)| *to == Destination::Own), "there is nothing to repeat yet");
    bench.done(lease, "Hello");
    let result = bench.own().last().unwrap().id;
    let external = Destination::Relay(EXTERNAL.into());
    assert!(bench.published.iter().any(|(event, to)| event.id == result && *to == external));
}

#[test]
fn fails_a_job_whose_handler_was_removed() {
    let mut bench = Bench::with(|spec| spec.declaration.concurrency = 1);
    for (number, kind) in [(1, SHARED), (2, EXCLUSIVE), (3, QUOTED)] {
        bench.ask(&request(kind, number));
    }
    bench.spec.handlers.truncate(1);
    bench.crash();
    bench.seconds(60);
    let lease = bench.next_run();
    bench.done(lease, "1");
    assert_eq!(bench.state_of(&request(EXCLUSIVE, 2)), JobState::Failed);
    assert_eq!(bench.state_of(&request(QUOTED, 3)), JobState::Rejected);
    assert!(bench.last_error().unwrap().contains("no longer"));
}
