//! What is kept of finished jobs and conversations, and how a customer who vanishes (NIP-62) is forgotten.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Event, Keys, Kind, Sql, UnsignedEvent, VerifiedEvent};
use serde_json::{Value, json};

use super::bench::*;
use super::events::*;
use crate::engine::job_state::JobState;
use crate::engine::records::MAX_CONVERSATIONS;
use crate::engine::{Changes, NewTurn, Options, Output, RequestAdmission, RunOutcome, StateQuery, Turn};

const DAY: u64 = 24 * 60 * 60;

fn with_text(keys: &Keys, kind: u16, text: &str, at: openagents_host::Timestamp) -> VerifiedEvent {
    UnsignedEvent::new(Kind(kind), "").tag(["i", text, "text"]).tag(["n", text]).sign(keys, at)
}

/// A job of this customer, from request to result.
fn served(bench: &mut Bench, keys: &Keys, text: &str, changes: Changes) -> VerifiedEvent {
    let event = with_text(keys, EXCLUSIVE, text, bench.now);
    bench.ask(&event);
    let lease = bench.next_run();
    bench.finish(lease, RunOutcome::Done(Output::new(text)), changes);
    bench.deliver_all();
    event
}

fn said(keys: &Keys) -> Changes {
    let turn = Turn { role: "user".into(), text: "hi".into() };
    Changes { turns: vec![NewTurn { customer: keys.public_key(), turn }], ..Changes::default() }
}

fn vanish(bench: &mut Bench, keys: &Keys) -> RequestAdmission {
    let event = UnsignedEvent::new(Kind::VANISH, "").tag(["relay", "ALL_RELAYS"]).sign(keys, bench.now);
    bench.ask(&event)
}

fn bytes(bench: &Bench, of: &str) -> u64 {
    let sum =
        format!("SELECT coalesce(sum({of}), 0) FROM job WHERE finished_at IS NOT NULL AND request <> ''");
    bench.sql.first::<(u64,)>(&sum, &[]).unwrap().unwrap().0
}

const BOTH: &str = "octet_length(request) + coalesce(octet_length(answer), 0)";

fn counted(bench: &Bench) -> u64 {
    bench.sql.first::<(u64,)>("SELECT coalesce(sum(bytes), 0) FROM metric", &[]).unwrap().unwrap().0
}

#[test]
fn does_not_keep_twice_what_a_result_repeats_of_its_request() {
    let mut bench = Bench::new();
    let text = "a \"quoted\" line\\\n\u{1}\u{7f}ß… ".repeat(2_000);
    let event = served(&mut bench, &customer(), &text, Changes::default());
    let published =
        bench.own().into_iter().find(|event| event.kind == Kind(EXCLUSIVE + 1_000)).unwrap().clone();
    let (request, answer) = (bytes(&bench, "octet_length(request)"), bytes(&bench, "octet_length(answer)"));
    assert_eq!(request, u64::try_from(event.json().len()).unwrap());
    // The output repeats the input as well, which nobody knows.
    let least = u64::try_from(serde_json::to_string(&text).unwrap().len()).unwrap();
    assert!(
        (least..least + 1_000).contains(&answer),
        "{answer} of {}, at least {least}",
        published.json().len()
    );
    assert_eq!(counted(&bench), request + answer);

    let details = bench.query_state(StateQuery::Job { id: event.id });
    assert_eq!(details["request"], serde_json::from_str::<Value>(event.json()).unwrap());
    assert_eq!(details["answer"], serde_json::from_str::<Value>(published.json()).unwrap());
    let json = bench.engine.jobs.answer(&event.id).unwrap().unwrap();
    assert_eq!(json, **published.json());
    assert!(Event::from_json(&json).unwrap().verify().is_ok());
    let next = chained(SHARED, 1, &[event.id]);
    bench.ask(&next);
    let lease = bench.next_run();
    assert!(bench.resolves.is_empty(), "its output is on record");
    bench.done(lease, "");
}

#[test]
fn keeps_of_a_rejected_or_cancelled_job_that_and_why_it_was() {
    let mut bench = Bench::new();
    let rejected = tagged(PAID, 1, &[&["bid", "1"], &["n", &"x".repeat(5_000)]]);
    assert_eq!(bench.ask(&rejected), RequestAdmission::Rejected);
    let old = with_text(&customer(), SHARED, "old", START - Duration::from_secs(2 * DAY));
    assert_eq!(bench.ask(&old), RequestAdmission::Rejected);
    let cancelled = request(SHARED, 3);
    bench.ask(&cancelled);
    bench.cancel(&cancelled, &customer());
    let of_size = "SELECT count(*) FROM job WHERE request = '' AND octet_length(answer) BETWEEN 1 AND 1500";
    assert_eq!(bench.sql.first::<(u64,)>(of_size, &[]).unwrap(), Some((3,)));
    assert_eq!(counted(&bench), 0);
    let details = bench.query_state(StateQuery::Job { id: rejected.id });
    assert_eq!((&details["request"], &details["state"]), (&json!(null), &json!("rejected")));
    assert_eq!(details["answer"]["kind"], json!(7_000));
    for event in [&rejected, &old, &cancelled] {
        assert_eq!(bench.ask(event), RequestAdmission::Duplicate, "it is not taken again");
    }
    bench.deliver_all();
    bench.seconds(2 * DAY - 60);
    served(&mut bench, &stranger(), "1", Changes::default());
    assert_eq!(bench.count("job"), 4);
    bench.seconds(120);
    served(&mut bench, &stranger(), "2", Changes::default());
    assert_eq!(bench.count("job"), 2, "those that are done are kept for longer");
}

#[test]
fn the_oldest_records_go_when_all_take_too_many_bytes() {
    let options = Options { max_record_bytes: Some(20_000), ..Options::default() };
    let mut bench = Bench::on(super::probe::Probe::new(), spec(), options);
    let events: Vec<_> = (0..20)
        .map(|number| {
            bench.seconds(1);
            served(&mut bench, &customer(), &number.to_string().repeat(500), Changes::default())
        })
        .collect();
    bench.crash();
    let kept = bytes(&bench, BOTH);
    assert!((5_000..=20_000).contains(&kept), "{kept}");
    assert_eq!(counted(&bench), kept);
    assert_eq!(bench.count("job"), 20);
    let answered = |bench: &mut Bench, event: &VerifiedEvent| {
        !bench.query_state(StateQuery::Job { id: event.id })["answer"].is_null()
    };
    assert!(!answered(&mut bench, &events[0]) && answered(&mut bench, &events[19]));
    assert_eq!(bench.ask(&events[0]), RequestAdmission::Duplicate, "it is not done again");
    assert_eq!(bench.state_of(&events[0]), JobState::Done);
    // An output that is no longer on record is on the agent's relay.
    bench.ask(&chained(SHARED, 1, &[events[0].id]));
    assert_eq!(bench.resolves.len(), 1);
}

#[test]
fn a_conversation_ends_when_nothing_is_said_for_long() {
    let mut bench = Bench::new();
    served(&mut bench, &customer(), "1", said(&customer()));
    bench.seconds(89 * DAY);
    served(&mut bench, &stranger(), "2", said(&stranger()));
    assert_eq!((bench.count("turn"), bench.count("conversation")), (2, 2));
    bench.seconds(2 * DAY);
    served(&mut bench, &stranger(), "3", said(&stranger()));
    assert_eq!((bench.count("turn"), bench.count("conversation")), (2, 1), "the stranger's two turns");
    bench.seconds(89 * DAY);
    served(&mut bench, &stranger(), "4", said(&stranger()));
    assert_eq!(bench.count("turn"), 3, "a conversation that goes on keeps its turns");
}

#[test]
fn there_are_only_so_many_conversations_and_the_least_used_end() {
    let mut bench = Bench::new();
    served(&mut bench, &customer(), "1", said(&customer()));
    bench.seconds(10);
    for number in 0..MAX_CONVERSATIONS {
        bench
            .sql
            .execute(
                "INSERT INTO conversation (customer, last_at) VALUES (unhex(printf('%064x', ?)), ?)",
                values![number, bench.now],
            )
            .unwrap();
    }
    bench.seconds(10);
    served(&mut bench, &stranger(), "2", said(&stranger()));
    let left = bench.query_state(StateQuery::Sessions { limit: 10 });
    assert_eq!(left.as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left[0]["customer"], json!(stranger().public_key()));
    assert!(bench.count("conversation") <= MAX_CONVERSATIONS);
}

/// Everything in the agent's database, in hexadecimal.
fn everything(bench: &Bench, except: &[&str]) -> String {
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let mut all = String::new();
    for (table,) in bench.sql.rows::<(String,)>(names, &[]).unwrap() {
        if except.contains(&table.as_str()) {
            continue;
        }
        let columns = format!(
            "SELECT group_concat('coalesce(hex(' || name || '), '''')', ' || ''|'' || ') FROM pragma_table_info('{table}')"
        );
        let (columns,) = bench.sql.first::<(String,)>(&columns, &[]).unwrap().unwrap();
        for (row,) in bench.sql.rows::<(String,)>(&format!("SELECT {columns} FROM {table}"), &[]).unwrap() {
            all.push_str(&row.to_lowercase());
            all.push('\n');
        }
    }
    all
}

/// Whether a key is in such a text, as bytes or in hexadecimal.
fn names(everything: &str, keys: &Keys) -> bool {
    let hex = keys.public_key().to_hex();
    let twice: String = hex.bytes().map(|byte| format!("{byte:02x}")).collect();
    everything.contains(&hex) || everything.contains(&twice)
}

/// An agent that has done all kinds of work for both customers.
fn busy() -> (Bench, Vec<VerifiedEvent>) {
    let mut bench = Bench::new();
    let mut unfinished = Vec::new();
    for keys in [customer(), stranger()] {
        let key = keys.public_key().to_hex();
        let memory =
            [(key.clone(), Some("1".to_owned())), (format!("{key}/name"), Some("\"Ada\"".to_owned()))];
        served(&mut bench, &keys, "done", Changes { memory: memory.into(), ..said(&keys) });
        bench.ask(&UnsignedEvent::new(Kind(PAID), "").tag(["bid", "1"]).sign(&keys, bench.now));
        bench.cancel(&request(SHARED, 77), &keys);
    }
    for keys in [customer(), stranger()] {
        let waiting =
            UnsignedEvent::new(Kind(SHARED), "").tag(["i", &"ab".repeat(32), "job"]).sign(&keys, bench.now);
        let running = with_text(&keys, EXCLUSIVE, "running", bench.now);
        let (priced, unpaid) = (request_by(&keys, QUOTED), request_by(&keys, PAID));
        for event in [waiting, running, priced, unpaid] {
            bench.ask(&event);
            unfinished.push(event);
        }
        bench.ask_from(unfinished.last().unwrap(), Some(EXTERNAL));
    }
    (bench, unfinished)
}

fn request_by(keys: &Keys, kind: u16) -> VerifiedEvent {
    UnsignedEvent::new(Kind(kind), "").sign(keys, START)
}

#[test]
fn a_customer_who_vanishes_is_forgotten_everywhere_and_nobody_else() {
    let (mut bench, unfinished) = busy();
    let before = everything(&bench, &[]);
    assert!(names(&before, &customer()) && names(&before, &stranger()));
    let published = bench.published.len();
    assert_eq!(vanish(&mut bench, &customer()), RequestAdmission::Vanished);
    let after = everything(&bench, &["vanished"]);
    assert!(!names(&after, &customer()), "{after}");
    for kept in ["job", "turn", "conversation", "memory", "cancellation", "outbox"] {
        assert!(bench.count(kept) > 0, "{kept} of the other customer");
    }
    assert_eq!(bench.count("vanished"), 1);
    assert_eq!(bench.aborted.len(), 1, "the run of this customer");
    assert_eq!(bench.running().len(), 1, "that of the other one could begin");
    assert_eq!(counted(&bench), bytes(&bench, BOTH));
    let later = &bench.published[published..];
    let hex = customer().public_key().to_hex();
    assert!(!later.iter().any(|(event, _)| event.json().contains(&hex)), "nobody is told about the customer");
    // Late inputs for jobs that are gone do no harm.
    for event in &unfinished {
        bench.give(&crate::engine::Input::Quoted { job: event.id, price: Ok(crate::price::Price::FREE) });
    }
    bench.deliver_all();
    bench.crash();
    bench.seconds(60);
    assert!(!names(&everything(&bench, &["vanished"]), &customer()));
    assert_eq!(vanish(&mut bench, &customer()), RequestAdmission::Vanished, "it may be handed over again");
}

#[test]
fn what_was_requested_before_vanishing_is_not_done_again() {
    let mut bench = Bench::new();
    let event = served(&mut bench, &customer(), "once", Changes::default());
    let never_seen = with_text(&customer(), EXCLUSIVE, "before", bench.now);
    bench.seconds(5);
    vanish(&mut bench, &customer());
    bench.crash();
    for event in [&event, &never_seen] {
        assert_eq!(bench.ask_from(event, Some(EXTERNAL)), RequestAdmission::NotOurs);
        assert_eq!(bench.ask(event), RequestAdmission::NotOurs);
    }
    assert_eq!(bench.count("job"), 0);
    bench.seconds(1);
    served(&mut bench, &customer(), "welcome again", Changes::default());
    assert_eq!(bench.count("job"), 1);
    bench.seconds(3 * DAY);
    vanish(&mut bench, &stranger());
    assert_eq!(bench.count("vanished"), 0, "no request from before could be accepted any more");
}

#[test]
fn a_request_to_vanish_from_another_relay_is_no_affair_of_the_agent() {
    let mut bench = Bench::new();
    served(&mut bench, &customer(), "1", said(&customer()));
    let event =
        UnsignedEvent::new(Kind::VANISH, "").tag(["relay", "ALL_RELAYS"]).sign(&customer(), bench.now);
    assert_eq!(bench.ask_from(&event, Some(EXTERNAL)), RequestAdmission::NotOurs);
    assert_eq!((bench.count("job"), bench.count("turn")), (1, 1));
}

#[test]
fn later_jobs_stay_when_a_request_to_vanish_is_handed_over_late() {
    let mut bench = Bench::new();
    let event =
        UnsignedEvent::new(Kind::VANISH, "").tag(["relay", "ALL_RELAYS"]).sign(&customer(), bench.now);
    let before = served(&mut bench, &customer(), "before", Changes::default());
    bench.seconds(5);
    let after = served(&mut bench, &customer(), "after", Changes::default());
    bench.ask(&event);
    assert_eq!(bench.count("job"), 1);
    assert_eq!(bench.ask(&before), RequestAdmission::NotOurs);
    assert_eq!(bench.ask(&after), RequestAdmission::Duplicate);
}

#[test]
fn counts_the_records_that_an_earlier_release_wrote() {
    let sql = super::probe::Probe::new();
    openagents_host::sql::migrate(&sql, "agent", &crate::engine::SCHEMA[..3]).unwrap();
    for (number, state) in [(1, "done"), (2, "failed"), (3, "rejected")] {
        let event = request(SHARED, number);
        sql.execute(
            "INSERT INTO job (id, kind, customer, request, state, attempt, answer, received_at, finished_at)
             VALUES (?, ?, ?, ?, ?, 1, 'answer', ?, ?)",
            values![&event.id, SHARED, &event.pubkey, &**event.json(), state, START, START],
        )
        .unwrap();
        sql.execute(
            "INSERT INTO metric (kind, state, jobs, elapsed, msat) VALUES (?, ?, 1, 0, 0)",
            values![SHARED, state],
        )
        .unwrap();
    }
    let turn = "INSERT INTO turn (customer, number, role, text, said_at) VALUES (?, 1, 'user', 'hi', ?)";
    sql.execute(turn, values![&customer().public_key(), START]).unwrap();
    let mut bench = Bench::on(sql, spec(), Options::default());
    assert_eq!(counted(&bench), bytes(&bench, BOTH));
    assert_eq!(bytes(&bench, "1"), 2);
    assert_eq!(bench.count("conversation"), 1);
    vanish(&mut bench, &customer());
    assert_eq!((counted(&bench), bench.count("job"), bench.count("turn")), (0, 0, 0));
}
