//! The changes of a run: committed with its outcome, or dropped.

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{Keys, Kind, Sql, UnsignedEvent};
use serde_json::json;

use super::bench::*;
use super::events::*;
use crate::engine::{
    Changes, Destination, Lease, NewTurn, Output, Publication, RunOutcome, StateQuery, Turn,
};

fn turn(customer: &Keys, text: &str) -> NewTurn {
    NewTurn { customer: customer.public_key(), turn: Turn { role: "user".into(), text: text.into() } }
}

fn remembering(key: &str, json: Option<&str>) -> Changes {
    Changes { memory: [(key.to_owned(), json.map(str::to_owned))].into(), ..Changes::default() }
}

fn everything() -> Changes {
    Changes {
        state: Some("1".into()),
        turns: vec![turn(&customer(), "hi")],
        events: vec![Publication { event: UnsignedEvent::new(Kind(1), "note").into(), to: Destination::Own }],
        ..remembering("k", Some("1"))
    }
}

fn run(bench: &mut Bench, number: u64) -> Lease {
    bench.ask(&request(EXCLUSIVE, number));
    bench.next_run()
}

fn done(bench: &mut Bench, number: u64, changes: Changes) {
    let lease = run(bench, number);
    bench.finish(lease, RunOutcome::Done(Output::new("")), changes);
}

fn kept(bench: &Bench) -> [u64; 4] {
    [
        bench.count("state"),
        bench.count("memory"),
        bench.count("turn"),
        u64::try_from(bench.own().iter().filter(|event| event.kind == Kind(1)).count()).unwrap(),
    ]
}

#[test]
fn keeps_everything_with_the_result() {
    let mut bench = Bench::new();
    done(&mut bench, 1, everything());
    assert_eq!(kept(&bench), [1; 4]);
    let note = bench.own().into_iter().find(|event| event.kind == Kind(1)).unwrap();
    assert_eq!((note.content.as_str(), note.pubkey), ("note", agent().public_key()));
}

#[test]
fn keeps_nothing_of_a_run_that_failed_was_lost_or_was_cancelled() {
    for retryable in [true, false] {
        let mut bench = Bench::new();
        let lease = run(&mut bench, 1);
        bench.finish(lease, failed("no", retryable), everything());
        assert_eq!(kept(&bench), [0; 4]);
    }
    let mut bench = Bench::new();
    let lost = run(&mut bench, 1);
    bench.crash();
    bench.finish(lost, RunOutcome::Done(Output::new("")), everything());
    let event = request(EXCLUSIVE, 1);
    let cancelled = bench.next_run();
    bench.cancel(&event, &customer());
    bench.finish(cancelled, RunOutcome::Done(Output::new("")), everything());
    let lease = run(&mut bench, 2);
    bench.finish(lease, RunOutcome::Done(Output::new("x".repeat(1_500_000))), everything());
    assert_eq!(kept(&bench), [0; 4]);
}

#[test]
fn overwrites_and_removes_what_is_remembered() {
    let mut bench = Bench::new();
    let read = |bench: &mut Bench| bench.query_state(StateQuery::Memory { key: "k".into() });
    done(&mut bench, 1, remembering("k", Some("{\"a\":1}")));
    assert_eq!(read(&mut bench), json!({"a": 1}));
    done(&mut bench, 2, remembering("k", Some("[2]")));
    assert_eq!(read(&mut bench), json!([2]));
    done(&mut bench, 3, remembering("k", None));
    assert_eq!(read(&mut bench), json!(null));
}

#[test]
fn keeps_the_last_turns_of_each_conversation() {
    let mut bench = Bench::new();
    let turns = (0..150).map(|number| turn(&customer(), &number.to_string())).collect::<Vec<_>>();
    done(&mut bench, 1, Changes { turns: vec![turn(&stranger(), "hi")], ..Changes::default() });
    for number in [2, 3] {
        done(&mut bench, number, Changes { turns: turns.clone(), ..Changes::default() });
    }
    let turns = bench.query_state(StateQuery::Turns { customer: customer().public_key(), limit: 1_000 });
    let turns = turns.as_array().unwrap();
    assert_eq!(turns.len(), 200);
    assert_eq!((&turns[0]["text"], &turns[199]["text"]), (&json!("100"), &json!("149")));
    let others = bench.query_state(StateQuery::Turns { customer: stranger().public_key(), limit: 1_000 });
    assert_eq!(others.as_array().unwrap().len(), 1);
}

#[test]
fn cuts_a_long_turn_between_characters() {
    let mut bench = Bench::new();
    let text = format!("x{}", "ß".repeat(10_000));
    done(&mut bench, 1, Changes { turns: vec![turn(&customer(), &text)], ..Changes::default() });
    let length = bench.sql.first::<(u64,)>("SELECT length(CAST(text AS BLOB)) FROM turn", values![]).unwrap();
    assert_eq!(length, Some((15_999,)));
}

#[test]
fn counts_what_came_of_the_jobs_of_each_kind() {
    let mut bench = Bench::new();
    let lease = run(&mut bench, 1);
    bench.seconds(3);
    bench.done(lease, "");
    done(&mut bench, 2, Changes::default());
    let lease = run(&mut bench, 3);
    bench.fail(lease, "no", false);
    bench.ask(&tagged(PAID, 1, &[&["bid", "1"]]));
    let event = request(SHARED, 1);
    bench.ask(&event);
    bench.cancel(&event, &customer());
    bench.ask(&request(SHARED, 2));
    let metrics = bench.query_state(StateQuery::Metrics);
    let ended = |kind, state, jobs, elapsed| json!({"kind": kind, "state": state, "jobs": jobs, "elapsed_ms": elapsed, "msat": 0});
    assert_eq!(
        metrics["ended"],
        json!([
            ended(SHARED, "cancelled", 1, 0),
            ended(EXCLUSIVE, "done", 2, 3_000),
            ended(EXCLUSIVE, "failed", 1, 0),
            ended(PAID, "rejected", 1, 0),
        ])
    );
    assert_eq!((&metrics["unfinished"], &metrics["running"]), (&json!(1), &json!(1)));
}

#[test]
fn counts_what_was_earned() {
    let mut bench = Bench::new();
    for number in [1, 2] {
        bench.ask(&request(PAID, number));
        let (job, _) = bench.invoices.remove(0);
        let expires_at = bench.now + Duration::from_secs(60);
        let invoice = crate::payment::wallet::Invoice {
            bolt11: "ln".into(),
            payment_hash: job.to_hex(),
            expires_at,
            verify_url: None,
        };
        bench.give(&crate::engine::Input::Invoiced { job, invoice: Ok(invoice) });
        bench.give(&crate::engine::Input::Settled {
            job,
            settlement: Ok(crate::payment::wallet::Settlement::Paid),
        });
        let lease = bench.next_run();
        bench.done(lease, "");
    }
    assert_eq!(bench.query_state(StateQuery::Metrics)["ended"][0]["msat"], json!(42_000));
}

#[test]
fn prunes_jobs_that_ended_long_ago_and_no_others() {
    const DAY: u64 = 24 * 60 * 60;
    let mut bench = Bench::with(|spec| spec.declaration.max_age = Duration::from_secs(20 * DAY));
    let waiting = request(QUOTED, 1);
    bench.ask(&waiting);
    for number in 1..=10 {
        done(&mut bench, number, Changes::default());
    }
    bench.deliver_all();
    bench.seconds(39 * DAY);
    let now = bench.now;
    let fresh = UnsignedEvent::new(Kind(EXCLUSIVE), "").sign(&customer(), now);
    bench.ask(&fresh);
    let lease = bench.next_run();
    bench.done(lease, "");
    assert_eq!(bench.count("job"), 12, "longer than a request can come again");
    bench.seconds(2 * DAY);
    for number in 0..3 {
        let event = UnsignedEvent::new(Kind(EXCLUSIVE), "")
            .tag(["n", &number.to_string()])
            .sign(&customer(), bench.now);
        bench.ask(&event);
        let lease = bench.next_run();
        bench.done(lease, "");
    }
    assert_eq!(bench.count("job"), 5, "the waiting one, and those that ended lately");
    assert_eq!(bench.state_of(&waiting), crate::engine::job_state::JobState::Received);
}
