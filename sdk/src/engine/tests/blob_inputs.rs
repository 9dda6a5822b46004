//! Jobs that wait for blobs, which their customers upload after the request.

use std::time::Duration;

use openagents_host::{BlobHash, EventId, Keys};
use serde_json::json;

use super::bench::{Bench, PAID, SHARED};
use super::events::{customer, result_of, stranger, stranger_request, tagged};
use crate::declaration::InputDeclaration;
use crate::engine::{Input, JobState, StateQuery, WantedBlob};
use crate::nip90::Status;

const HASH: &str = "abababababababababababababababababababababababababababababababab";
const FILE: InputDeclaration =
    InputDeclaration { input_type: "url", mime_types: &["*/*"], required: true, is_uploadable: true };

fn hash() -> BlobHash {
    BlobHash::from_hex(HASH).unwrap()
}

fn url() -> String {
    format!("https://cdn.example.com/{HASH}.png")
}

/// An agent whose jobs take files.
fn bench() -> Bench {
    Bench::with(|spec| {
        for handler in &mut spec.handlers {
            handler.declaration.inputs = &[Some(FILE)];
        }
    })
}

/// Ends the look-up of blobs in progress. Returns what was looked for.
fn looked_up(bench: &mut Bench, found: &[BlobHash]) -> (EventId, Vec<WantedBlob>) {
    let (job, wanted) = bench.blob_look_ups.remove(0);
    bench.resolves.clear();
    bench.give(&Input::Resolved { job, events: vec![], blobs: found.to_vec() });
    (job, wanted)
}

fn expects(bench: &mut Bench, customer: &Keys) -> bool {
    bench.query_state(StateQuery::ExpectsBlob { customer: customer.public_key(), hash: hash() })
        == json!(true)
}

#[test]
fn a_job_runs_at_once_if_its_blob_is_there() {
    let mut bench = bench();
    bench.ask(&tagged(SHARED, 1, &[&["i", &url(), "url"]]));
    let (job, wanted) = looked_up(&mut bench, &[hash()]);
    assert_eq!(wanted, [WantedBlob { hash: hash(), url: url(), tries_url: true }]);
    assert_eq!(bench.running().len(), 1, "{job}");
    let lease = bench.next_run();
    bench.done(lease, "seen");
    assert_eq!((bench.count("job_blob"), bench.results()), (0, vec!["seen".to_owned()]));
}

#[test]
fn a_job_waits_for_an_upload_and_is_woken_by_it() {
    let mut bench = bench();
    let event = tagged(SHARED, 1, &[&["i", &url(), "url"]]);
    bench.ask(&event);
    assert!(expects(&mut bench, &customer()) && !expects(&mut bench, &stranger()));
    looked_up(&mut bench, &[]);
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    assert_eq!(bench.feedback().len(), 1, "the customer is told once");
    assert!(bench.feedback()[0].message.as_ref().is_some_and(|text| text.contains(HASH)));
    for _ in 0..3 {
        bench.seconds(10);
        let (_, wanted) = looked_up(&mut bench, &[]);
        assert!(!wanted[0].tries_url, "its URL is tried once");
    }
    assert_eq!(bench.feedback().len(), 1);
    bench.query_state(StateQuery::BlobArrived { hash: hash() });
    bench.pass(Duration::ZERO);
    assert_eq!(bench.running().len(), 1);
    assert!(expects(&mut bench, &customer()), "it may be uploaded again while the job is unfinished");
    let lease = bench.next_run();
    bench.done(lease, "seen");
    assert!(!expects(&mut bench, &customer()));
}

#[test]
fn a_blob_that_does_not_come_fails_the_job_before_it_is_paid_for() {
    for kind in [SHARED, PAID] {
        let mut bench = bench();
        let event = tagged(kind, 1, &[&["i", &url(), "url"]]);
        bench.ask(&event);
        while !bench.blob_look_ups.is_empty() {
            looked_up(&mut bench, &[]);
            bench.seconds(10);
        }
        bench.seconds(60);
        assert_eq!(bench.state_of(&event), JobState::Failed, "{kind}");
        let error = bench.last_error().unwrap();
        assert!(error.contains(HASH) && error.contains("within 60 s"), "{error}");
        assert!(
            bench.invoices.is_empty() && bench.count("job_blob") == 0 && !expects(&mut bench, &customer())
        );
    }
}

#[test]
fn an_upload_that_has_begun_in_time_may_take_longer() {
    let mut bench = bench();
    let event = tagged(SHARED, 1, &[&["i", &url(), "url"]]);
    bench.ask(&event);
    looked_up(&mut bench, &[]);
    bench.seconds(50);
    assert!(expects(&mut bench, &customer()));
    bench.seconds(200);
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    assert!(expects(&mut bench, &customer()));
    bench.seconds(60);
    assert_eq!(bench.state_of(&event), JobState::Failed, "not for ever");
}

#[test]
fn a_job_that_takes_no_files_waits_for_none() {
    let mut bench = Bench::new();
    bench.ask(&tagged(SHARED, 1, &[&["i", &url(), "url"]]));
    assert_eq!((bench.running().len(), bench.count("job_blob")), (1, 0));
    assert!(!expects(&mut bench, &customer()));
    let mut bench = self::bench();
    bench.ask(&tagged(SHARED, 1, &[&["i", "https://cdn.example.com/a.png", "url"], &["i", &url(), "text"]]));
    assert_eq!((bench.running().len(), bench.count("job_blob")), (1, 0), "nothing names a blob");
}

#[test]
fn a_job_waits_for_outputs_and_blobs() {
    let mut bench = bench();
    let upstream = stranger_request();
    let id = upstream.id.to_hex();
    let event = tagged(SHARED, 1, &[&["i", &id, "job"], &["i", &url(), "url"]]);
    bench.ask(&event);
    let (job, _) = bench.blob_look_ups.remove(0);
    let result = result_of(&upstream, &stranger(), "text");
    let events = vec![(*upstream).clone(), (*result).clone()];
    bench.give(&Input::Resolved { job, events, blobs: vec![] });
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput, "the blob is missing");
    bench.query_state(StateQuery::BlobArrived { hash: hash() });
    bench.pass(Duration::ZERO);
    assert_eq!(bench.running().len(), 1);
    assert!(bench.statuses().iter().all(|status| *status == Status::Processing));
}

#[test]
fn a_restart_goes_on_waiting() {
    let mut bench = bench();
    let event = tagged(SHARED, 1, &[&["i", &url(), "url"]]);
    bench.ask(&event);
    looked_up(&mut bench, &[]);
    bench.crash();
    bench.seconds(20);
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    looked_up(&mut bench, &[hash()]);
    assert_eq!(bench.running().len(), 1);
}

#[test]
fn a_request_makes_its_customer_upload_a_few_blobs_at_most() {
    let mut bench = bench();
    let urls: Vec<String> = (0..20).map(|number| format!("https://a.example/{number:064x}")).collect();
    let tags: Vec<Vec<&str>> = urls.iter().map(|url| vec!["i", url, "url"]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
    bench.ask(&tagged(SHARED, 1, &tags));
    assert_eq!(bench.count("job_blob"), 8);
}
