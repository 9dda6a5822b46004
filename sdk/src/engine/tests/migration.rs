//! Databases of earlier releases.

use openagents_host::sql::{migrate, values};
use openagents_host::{Engine, Sql};

use super::bench::*;
use super::events::*;
use super::probe::Probe;
use crate::engine::job_state::JobState;
use crate::engine::{Destination, EXTERNAL_SCHEMA, Input, Options, RequestAdmission, RunId, SCHEMA};
use crate::nip90::Status;

/// A database of the first release, with a job in each of its states, an event in the outbox, and a state.
fn first_release() -> Probe {
    let sql = Probe::new();
    migrate(&sql, "agent", &SCHEMA[..1]).unwrap();
    let began = START.as_millis();
    let jobs = [
        (EXCLUSIVE, "queued", 0, Some(began), None),
        (SHARED, "running", 1, Some(began + 70_000), None),
        (SHARED, "done", 1, None, Some(began)),
        (SHARED, "failed", 3, None, Some(began)),
    ];
    for (number, (kind, state, attempt, due, finished_at)) in (1_u64..).zip(jobs) {
        let event = request(kind, number);
        sql.execute(
            "INSERT INTO job (id, kind, customer, request, state, attempt, due, received_at, finished_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values![&event.id, kind, &event.pubkey, &**event.json(), state, attempt, due, began, finished_at],
        )
        .unwrap();
    }
    let waiting = result_of(&request(SHARED, 3), &agent(), "3");
    sql.execute(
        "INSERT INTO outbox (entry, event, attempt, due) VALUES (7, ?, 2, ?)",
        values![&**waiting.json(), began],
    )
    .unwrap();
    sql.execute("INSERT INTO state VALUES (1, '{\"n\":7}', 4, ?)", values![began]).unwrap();
    sql
}

fn migrated() -> Bench {
    Bench::on(first_release(), spec(), Options::default())
}

#[test]
fn goes_on_with_the_jobs_of_the_first_release() {
    let mut bench = migrated();
    assert_eq!(bench.running(), [RunId::Job(request(EXCLUSIVE, 1).id)], "in the order in which they came");
    let first = bench.runs.remove(0);
    assert_eq!(first.state.as_deref(), Some("{\"n\":7}"));
    bench.done_with_state(first.lease, "1", "{\"n\":8}");
    let second = bench.next_run();
    assert_eq!(
        (second.run, second.attempt),
        (RunId::Job(request(SHARED, 2).id), 2),
        "it was interrupted once"
    );
    bench.done(second, "2");
    assert_eq!(bench.results(), ["3", "1", "2"], "what waited in the outbox comes first");
    assert_eq!(bench.statuses(), [Status::Processing]);
    bench.deliver_all();
    assert_eq!(bench.count("outbox"), 0);
    assert_eq!(bench.engine.next_alarm(), None);
}

#[test]
fn knows_the_jobs_that_the_first_release_ended() {
    let mut bench = migrated();
    for (number, state) in [(3, JobState::Done), (4, JobState::Failed)] {
        assert_eq!(bench.state_of(&request(SHARED, number)), state);
        assert_eq!(bench.ask_from(&request(SHARED, number), Some(EXTERNAL)), RequestAdmission::Duplicate);
    }
    assert_eq!(bench.engine.unfinished.total(), 2);
}

#[test]
fn takes_the_state_of_the_first_release_for_its_first_form() {
    let snapshot = migrated().engine.state();
    assert_eq!((snapshot.version, snapshot.form, snapshot.json.as_deref()), (4, 1, Some("{\"n\":7}")));
}

#[test]
fn has_the_same_tables_as_a_new_database() {
    let schema = |sql: &Probe| {
        sql.rows::<(String, String)>(
            "SELECT name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name",
            &[],
        )
        .unwrap()
    };
    assert_eq!(schema(&migrated().sql), schema(&Bench::new().sql));
}

#[test]
fn opens_a_database_again_and_again() {
    let mut bench = migrated();
    bench.crash();
    assert_eq!(bench.count("job"), 4);
}

#[test]
fn delivers_what_waited_for_outside_relays_before_limits_went_by_host() {
    let sql = Probe::new();
    migrate(&sql, "agent", &SCHEMA).unwrap();
    migrate(&sql, "outside", &EXTERNAL_SCHEMA[..2]).unwrap();
    let event = result_of(&request(SHARED, 3), &agent(), "3");
    let customer_relays =
        Destination::ReadBy { customer: customer().public_key(), source: "wss://b.example".to_owned() };
    let read_by = format!("read-by:{} wss://b.example", customer().public_key());
    let mut relays = vec![None, Some(read_by)];
    relays.extend(vec![Some("wss://a.example".to_owned()); 20]);
    for (entry, relay) in (1_u64..).zip(relays) {
        sql.execute(
            "INSERT INTO outbox (entry, event, attempt, due, relay) VALUES (?, ?, 0, ?, ?)",
            values![entry, &**event.json(), START, relay.as_deref()],
        )
        .unwrap();
    }
    let mut bench = Bench::on(sql, spec(), Options::default());
    let mut expected = vec![Destination::Own, customer_relays];
    expected.extend(vec![Destination::Relay("wss://a.example".to_owned()); 8]);
    let published: Vec<Destination> = bench.published.iter().map(|(_, to)| to.clone()).collect();
    assert_eq!(published, expected);
    bench.deliver_all();
    assert_eq!((bench.published.len(), bench.count("outbox")), (22, 0));
}

#[test]
fn looks_up_again_what_the_fourth_release_kept_as_text() {
    let upstream = stranger_request();
    let event = chained(SHARED, 2, &[upstream.id]);
    let sql = Probe::new();
    migrate(&sql, "agent", &SCHEMA[..4]).unwrap();
    let began = START.as_millis();
    sql.execute(
        "INSERT INTO job (id, kind, customer, request, state, attempt, due, price, received_at)
         VALUES (?, ?, ?, ?, 'queued', 0, ?, 0, ?)",
        values![&event.id, SHARED, &event.pubkey, &**event.json(), began, began],
    )
    .unwrap();
    sql.execute("INSERT INTO job_input VALUES (?, ?, 'a text')", values![&event.id, &upstream.id]).unwrap();
    let mut bench = Bench::on(sql, spec(), Options::default());
    assert_eq!(bench.state_of(&event), JobState::AwaitingInput);
    bench.seconds(1);
    let result = result_of(&upstream, &customer(), "Hello");
    let (job, ..) = bench.resolves.remove(0);
    bench.give(&Input::Resolved { job, events: vec![(*upstream).clone(), (*result).clone()], blobs: vec![] });
    assert_eq!(bench.running(), [RunId::Job(event.id)], "it has its price already");
}
