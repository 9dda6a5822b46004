//! State queries of handlers and HTTP routes.

use openagents_host::nostr::keys::npub;
use serde_json::{Value, json};

use super::bench::*;
use super::events::*;
use crate::engine::{Changes, Input, NewTurn, Output, RunOutcome, StateQuery, Turn};

fn seqs(page: &Value) -> Vec<u64> {
    page.as_array().unwrap().iter().map(|job| job["seq"].as_u64().unwrap()).collect()
}

#[test]
fn pages_through_the_history_backwards() {
    let mut bench = Bench::new();
    for number in 1..=5 {
        bench.ask(&request(SHARED, number));
    }
    let mut page = |before, limit| seqs(&bench.query_state(StateQuery::History { before, limit }));
    assert_eq!(page(None, 2), [5, 4]);
    assert_eq!(page(Some(4), 2), [3, 2]);
    assert_eq!(page(Some(2), 2), [1]);
    assert_eq!(page(Some(1), 2), [0; 0]);
    assert_eq!(page(None, usize::MAX), [5, 4, 3, 2, 1]);
    assert_eq!(page(Some(u64::MAX), 1), [5]);
}

#[test]
fn shows_a_job_with_its_request_and_its_answer() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    bench.ask_from(&event, Some(EXTERNAL));
    let lease = bench.next_run();
    bench.seconds(2);
    bench.done(lease, "Hello");
    let job = bench.query_state(StateQuery::Job { id: event.id });
    assert_eq!(job["request"]["id"], json!(event.id.to_hex()));
    assert_eq!(job["answer"]["content"], json!("Hello"));
    assert_eq!(
        (&job["state"], &job["attempt"], &job["source"]),
        (&json!("done"), &json!(1), &json!(EXTERNAL))
    );
    assert_eq!(job["customer"], json!(customer().public_key().to_hex()));
    assert_eq!(job["price_msat"], json!(0));
    let began = START.as_millis();
    assert_eq!(
        (&job["received_at"], &job["started_at"], &job["finished_at"]),
        (&json!(began), &json!(began), &json!(began + 2_000))
    );
    assert_eq!(bench.query_state(StateQuery::Job { id: request(SHARED, 2).id }), json!(null));
}

#[test]
fn shows_a_job_that_has_no_answer_yet() {
    let mut bench = Bench::new();
    let event = request(SHARED, 1);
    bench.ask(&event);
    assert_eq!(bench.query_state(StateQuery::Job { id: event.id })["answer"], json!(null));
}

#[test]
fn lists_the_conversations_the_last_to_speak_first() {
    let mut bench = Bench::new();
    for (number, by) in (1..).zip([customer(), stranger(), customer(), stranger(), stranger()]) {
        bench.ask(&request(SHARED, number));
        let lease = bench.next_run();
        let turn = Turn { role: "user".into(), text: number.to_string() };
        let turns = vec![NewTurn { customer: by.public_key(), turn }];
        bench.finish(lease, RunOutcome::Done(Output::new("")), Changes { turns, ..Changes::default() });
        bench.seconds(1);
    }
    let sessions = bench.query_state(StateQuery::Sessions { limit: 10 });
    let first = stranger().public_key();
    assert_eq!(
        sessions[0],
        json!({"customer": first, "npub": npub(&first), "turns": 3, "last_at": START.as_millis() + 4_000})
    );
    assert_eq!(sessions[1]["turns"], json!(2));
    assert_eq!(bench.query_state(StateQuery::Sessions { limit: 1 }).as_array().unwrap().len(), 1);
    let turns = bench.query_state(StateQuery::Turns { customer: first, limit: 2 });
    assert_eq!(
        (&turns[0]["text"], &turns[1]["text"], turns.as_array().unwrap().len()),
        (&json!("4"), &json!("5"), 2)
    );
}

#[test]
fn lists_the_keys_in_memory_that_begin_with_a_prefix() {
    let mut bench = Bench::new();
    bench.ask(&request(SHARED, 1));
    let lease = bench.next_run();
    let keys = ["a", "b", "b/1", "b/2", "b%", "c"];
    let memory = keys.into_iter().map(|key| (key.to_owned(), Some("1".to_owned()))).collect();
    bench.finish(lease, RunOutcome::Done(Output::new("")), Changes { memory, ..Changes::default() });
    let mut list =
        |prefix: &str, limit| bench.query_state(StateQuery::MemoryKeys { prefix: prefix.into(), limit });
    assert_eq!(list("b", 10), json!(["b", "b%", "b/1", "b/2"]));
    assert_eq!(list("b/", 1), json!(["b/1"]));
    assert_eq!(list("", 10), json!(["a", "b", "b%", "b/1", "b/2", "c"]));
    assert_eq!(list("d", 10), json!([]));
}

#[test]
fn keeps_tables_of_the_authors_own_beside_its_own() {
    let mut bench = Bench::new();
    let mut sql = |statement: &str, values: Vec<Value>| {
        bench.query_state(StateQuery::Sql { statement: statement.into(), values })
    };
    sql("CREATE TABLE my_words (word TEXT, count INTEGER)", vec![]);
    sql("INSERT INTO my_words VALUES (?, ?)", vec![json!("job"), json!(null)]);
    assert_eq!(sql("SELECT count, word FROM my_words", vec![]), json!([[null, "job"]]));
}

#[test]
fn says_what_is_wrong_with_a_statement_and_undoes_it() {
    let mut bench = Bench::new();
    for statement in ["DELETE FROM job", "SELECT * FROM my_nothing", "SELECT x'00'", "SELECT"] {
        let query = StateQuery::Sql { statement: statement.into(), values: vec![] };
        bench.give(&Input::Query { query, ticket: 0 });
        assert!(bench.answers.pop().unwrap().is_err(), "{statement}");
    }
    assert_eq!(bench.warnings, [""; 0], "it is no failure of the engine");
}
