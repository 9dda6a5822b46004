//! Runs of `#[schedule(once)]` functions, at times that handlers chose.

use std::time::Duration;

use openagents_host::{Engine, EventId, Timestamp};
use openagents_relay::management::Token;
use serde_json::{Value, json};

use super::bench::*;
use super::events::*;
use crate::declaration::{ScheduleDeclaration, ScheduleRule};
use crate::engine::{
    Changes, Lease, Output, RunId, RunOutcome, ScheduleChange, ScheduleSpec, StateQuery, Task,
};

const MINUTE: Duration = Duration::from_secs(60);

fn schedule(name: &'static str, rule: ScheduleRule) -> ScheduleSpec {
    let declaration = ScheduleDeclaration { name, about: "", rule, timeout: MINUTE };
    ScheduleSpec { declaration, exclusive: false }
}

fn bench() -> Bench {
    Bench::with(|spec| {
        spec.schedules =
            vec![schedule("tick", ScheduleRule::Cron("0 0 1 1 *")), schedule("ring", ScheduleRule::Once)];
    })
}

fn wanted(key: &str, due: Option<Timestamp>) -> ScheduleChange {
    ScheduleChange {
        function: "ring".into(),
        key: key.into(),
        run: due.map(|due| (due, format!("\"{key}\""))),
    }
}

/// A job that schedules these.
fn ask_for(bench: &mut Bench, number: u64, schedules: Vec<ScheduleChange>) {
    bench.ask(&request(SHARED, number));
    let lease = bench.next_run();
    bench.finish(lease, RunOutcome::Done(Output::new("")), Changes { schedules, ..Changes::default() });
}

/// The next run's payload.
fn ringing(bench: &mut Bench) -> (Lease, String) {
    assert_eq!(bench.runs.len(), 1);
    let started = bench.runs.remove(0);
    match started.task {
        Task::Scheduled { schedule: 1, payload } => (started.lease, payload),
        other => panic!("{other:?}"),
    }
}

fn done(bench: &mut Bench, lease: Lease) {
    bench.finish(lease, RunOutcome::Done(Output::default()), Changes::default());
}

#[test]
fn runs_once_at_its_time_with_its_payload() {
    let mut bench = bench();
    ask_for(&mut bench, 1, vec![wanted("b", Some(START + MINUTE * 2)), wanted("a", Some(START + MINUTE))]);
    assert_eq!(bench.engine.next_alarm(), Some(START + MINUTE));
    for key in ["\"a\"", "\"b\""] {
        bench.pass(MINUTE);
        let (lease, payload) = ringing(&mut bench);
        assert_eq!(payload, key);
        done(&mut bench, lease);
    }
    bench.pass(MINUTE * 10);
    assert!(bench.runs.is_empty() && bench.count("scheduled_run") == 0);
}

#[test]
fn is_replaced_or_cancelled_by_its_key() {
    let mut bench = bench();
    ask_for(&mut bench, 1, vec![wanted("a", Some(START + MINUTE)), wanted("b", Some(START + MINUTE))]);
    ask_for(&mut bench, 2, vec![wanted("a", Some(START + MINUTE * 3)), wanted("b", None), wanted("c", None)]);
    bench.pass(MINUTE);
    assert!(bench.runs.is_empty());
    bench.pass(MINUTE * 2);
    assert_eq!(ringing(&mut bench).1, "\"a\"");
}

#[test]
fn is_not_scheduled_by_a_run_that_failed() {
    let mut bench = bench();
    bench.ask(&request(SHARED, 1));
    let lease = bench.next_run();
    let changes = Changes { schedules: vec![wanted("a", Some(START))], ..Changes::default() };
    bench.finish(lease, failed("no", false), changes);
    bench.pass(MINUTE);
    assert!(bench.runs.is_empty() && bench.count("scheduled_run") == 0);
}

#[test]
fn runs_again_when_the_process_was_lost_but_not_for_ever() {
    let mut bench = bench();
    ask_for(&mut bench, 1, vec![wanted("a", Some(START + MINUTE))]);
    bench.crash();
    bench.pass(MINUTE);
    for _ in 0..5 {
        ringing(&mut bench);
        bench.crash();
    }
    assert!(bench.runs.is_empty());
    assert_eq!(bench.count("scheduled_run"), 0);
    assert!(
        bench.warnings.iter().any(|warning| warning.contains("interrupted too often")),
        "{:?}",
        bench.warnings
    );
}

#[test]
fn is_tried_five_times_with_growing_pauses() {
    let mut bench = bench();
    ask_for(&mut bench, 1, vec![wanted("a", Some(START))]);
    for pause in [1, 2, 4, 8] {
        let (lease, _) = ringing(&mut bench);
        bench.fail(lease, "no network", true);
        bench.pass(Duration::from_secs(pause) - Duration::from_millis(1));
        assert!(bench.runs.is_empty(), "{pause}");
        bench.pass(Duration::from_millis(1));
    }
    let (lease, _) = ringing(&mut bench);
    bench.fail(lease, "no network", true);
    bench.pass(MINUTE);
    assert!(bench.runs.is_empty() && bench.count("scheduled_run") == 0);
    assert_eq!(bench.warnings.last().unwrap(), "scheduled run, for the last time, failed: no network");
}

#[test]
fn takes_back_the_lease_of_a_run_that_hangs() {
    let mut bench = bench();
    ask_for(&mut bench, 1, vec![wanted("a", Some(START))]);
    let (hung, _) = ringing(&mut bench);
    bench.pass(MINUTE + Duration::from_secs(10));
    bench.seconds(1);
    let (lease, _) = ringing(&mut bench);
    done(&mut bench, hung);
    assert_eq!(bench.count("scheduled_run"), 1, "an outcome that comes too late is ignored");
    done(&mut bench, lease);
    assert_eq!(bench.count("scheduled_run"), 0);
}

#[test]
fn can_schedule_itself_again() {
    let mut bench = bench();
    ask_for(&mut bench, 1, vec![wanted("a", Some(START))]);
    for _ in 0..3 {
        let (lease, _) = ringing(&mut bench);
        let schedules = vec![wanted("a", Some(bench.now + MINUTE))];
        bench.finish(lease, RunOutcome::Done(Output::default()), Changes { schedules, ..Changes::default() });
        assert!(bench.runs.is_empty() && bench.count("scheduled_run") == 1);
        bench.pass(MINUTE);
    }
    assert!(matches!(ringing(&mut bench).0.run, RunId::Scheduled(4)));
}

#[test]
fn is_dropped_with_the_release_that_had_its_function() {
    let mut bench = bench();
    ask_for(&mut bench, 1, vec![wanted("a", Some(START + MINUTE))]);
    bench.spec.schedules.truncate(1);
    bench.crash();
    bench.pass(MINUTE * 2);
    assert!(bench.runs.is_empty() && bench.count("scheduled_run") == 0);
}

#[test]
fn ten_thousand_are_enough() {
    let mut bench = bench();
    let many = (0..10_001).map(|number| wanted(&number.to_string(), Some(START + MINUTE))).collect();
    ask_for(&mut bench, 1, many);
    assert_eq!(bench.count("scheduled_run"), 0);
    assert!(
        bench.warnings.iter().any(|warning| warning.contains("10000 runs are scheduled")),
        "{:?}",
        bench.warnings
    );
}

/// What becomes of an operator's wish to run this now.
fn by_hand(bench: &mut Bench, name: &str, key: &str, token: Option<Token>) -> Value {
    bench.query_state(StateQuery::RunSchedule { name: name.to_owned(), key: key.to_owned(), token })
}

#[test]
fn is_listed_with_the_schedules_in_the_order_of_their_times() {
    let mut bench = bench();
    let list = |bench: &mut Bench| {
        let all = bench.query_state(StateQuery::Schedules { limit: 2 });
        let all = all.as_array().unwrap().iter();
        all.map(|one| (one["name"].clone(), one["key"].clone(), one["due"].is_null())).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut bench), [(json!("tick"), Value::Null, false), (json!("ring"), Value::Null, true)]);
    ask_for(&mut bench, 1, vec![wanted("b", Some(START + MINUTE * 2)), wanted("a", Some(START + MINUTE))]);
    assert_eq!(list(&mut bench), [(json!("ring"), json!("a"), false), (json!("ring"), json!("b"), false)]);
}

#[test]
fn an_operator_runs_one_before_its_time_and_each_token_is_good_once() {
    let mut bench = bench();
    ask_for(&mut bench, 1, vec![wanted("a", Some(START + MINUTE)), wanted("b", Some(START + MINUTE))]);
    let token = |byte| Some(Token { id: EventId::from_bytes([byte; 32]), created_at: START.as_seconds() });
    assert_eq!(by_hand(&mut bench, "ring", "a", token(1)), "Due");
    let (lease, payload) = ringing(&mut bench);
    assert_eq!(payload, "\"a\"");
    assert_eq!(by_hand(&mut bench, "ring", "a", token(2)), "Running");
    done(&mut bench, lease);
    bench.crash();
    assert_eq!(by_hand(&mut bench, "ring", "b", token(1)), "UsedToken");
    assert_eq!(by_hand(&mut bench, "ring", "a", token(2)), json!({"UnknownKey": {"keys": ["b"]}}));
    assert_eq!(
        by_hand(&mut bench, "sing", "", None),
        json!({"UnknownSchedule": {"names": ["tick", "ring"]}})
    );
    assert!(bench.runs.is_empty());
    bench.seconds(200);
    by_hand(&mut bench, "tick", "", token(3));
    assert_eq!(bench.count("used_operator_token"), 1, "a token is kept until nothing accepts it");
}

#[test]
fn a_schedule_that_ran_by_hand_goes_on_from_then() {
    let mut bench = Bench::with(|spec| spec.schedules = vec![schedule("tick", ScheduleRule::Every(MINUTE))]);
    bench.seconds(20);
    assert_eq!(by_hand(&mut bench, "tick", "", None), "Due");
    let lease = bench.next_run();
    assert_eq!(lease.run, RunId::Schedule(0));
    done(&mut bench, lease);
    assert_eq!(bench.engine.next_alarm(), Some(bench.now + MINUTE));
    let listed = bench.query_state(StateQuery::Schedules { limit: 9 });
    assert_eq!((&listed[0]["rule"], &listed[0]["ran_at"]), (&json!("every 60000 ms"), &json!(bench.now)));
}
