//! Whether the engine itself or a reader thread of the host answers a `REQ`.

use openagents_host::Engine;
use openagents_host::native::Sqlite;
use openagents_host::sql::{Sql, SqlError, values};

use super::{BOB, Bench, NOW};
use crate::engine::{ClientRead, Effect, Input, Relay, RelayConfig};
use crate::fixtures;
use openagents_host::nostr::message::RelayMessage;
use openagents_host::nostr::tag::{TagKey, TagName};

fn bench() -> Bench {
    let mut bench = Bench::empty(RelayConfig::default());
    bench.relay =
        Relay::open(Sqlite::in_memory().unwrap(), RelayConfig::default()).unwrap().with_reader_threads();
    bench.open(BOB);
    bench
}

/// Whether a request is answered by the engine.
fn is_answered(bench: &mut Bench, request: &str) -> bool {
    let effects = bench.text(BOB, request);
    let left: Vec<_> = effects.iter().filter(|effect| matches!(effect, Effect::Read(_))).collect();
    let told = effects.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count();
    assert_eq!(left.is_empty(), told > 0, "{effects:?}");
    left.is_empty()
}

#[test]
fn a_short_read_that_arrives_alone_is_answered_inline() {
    let mut bench = bench();
    bench.relay.store().insert(NOW, &fixtures::signed(1, 1, &[])).unwrap();
    bench.relay.batch_size_hint(1);
    assert!(is_answered(&mut bench, r#"["REQ","s",{"kinds":[1]}]"#));
    assert!(!is_answered(&mut bench, r#"["REQ","s",{"search":"relay"}]"#));
    bench.relay.batch_size_hint(100);
    assert!(!is_answered(&mut bench, r#"["REQ","s",{"kinds":[1]}]"#));
}

#[test]
fn long_reads_and_long_answers_are_left_to_reader_threads() {
    let mut bench = bench();
    bench.relay.batch_size_hint(1);
    let insert = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 3000)
        INSERT INTO event (seq, id, pubkey, created_at, kind, json)
        SELECT n << 20, randomblob(32), zeroblob(32), n, 1 + n / 2999, '{' || printf('%.*c', 400, ' ') || '}' FROM number";
    bench.relay.store().sql().execute(insert, &[]).unwrap();
    assert!(is_answered(&mut bench, r#"["REQ","s",{"kinds":[2]}]"#));
    assert!(is_answered(&mut bench, r#"["REQ","s",{"kinds":[1],"limit":100}]"#));
    assert!(!is_answered(&mut bench, r#"["REQ","s",{"kinds":[1],"limit":500}]"#), "long to tell");
    // Many events have one of the tags, many have the other, none has both.
    for (name, odd) in [("x", 0), ("y", 1)] {
        let key = TagKey::new(TagName::new(name).unwrap(), "a");
        let tag = "INSERT INTO tag (key, seq, kind) SELECT ?, seq, kind FROM event WHERE created_at % 2 = ?";
        bench.relay.store().sql().execute(tag, values![key.as_bytes(), odd]).unwrap();
    }
    assert!(is_answered(&mut bench, r##"["REQ","s",{"#x":["a"],"limit":10}]"##));
    assert!(!is_answered(&mut bench, r##"["REQ","s",{"#x":["a"],"#y":["a"]}]"##), "long to find");
}

#[test]
fn an_event_that_is_long_by_itself_is_not_left_out() {
    let mut bench = bench();
    bench.relay.batch_size_hint(1);
    let insert = "INSERT INTO event (seq, id, pubkey, created_at, kind, json)
        SELECT value, randomblob(32), zeroblob(32), 0, ?, '{' || printf('%.*c', ?, ' ') || '}' FROM json_each(?)";
    let sql = bench.relay.store().sql().clone();
    for (kind, length, places) in [(1, 1_900_000, "[1]"), (2, 100_000, "[2]"), (2, 1_000_000, "[3]")] {
        sql.execute(insert, values![kind, length, places]).unwrap();
    }
    for kind in [1, 2] {
        assert!(!is_answered(&mut bench, &format!(r#"["REQ","s",{{"kinds":[{kind}]}}]"#)), "{kind}");
    }
}

/// A read for the reader threads.
fn with_reader_threads(bench: &mut Bench, request: &str) -> ClientRead {
    bench.relay.batch_size_hint(100);
    let effects = bench.text(BOB, request);
    bench.relay.batch_size_hint(1);
    effects
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Read(read) => Some(read),
            _ => None,
        })
        .unwrap()
}

#[test]
fn a_query_that_takes_too_long_is_refused_without_a_subscription() {
    let mut bench = bench();
    let event = fixtures::signed(1, 1, &[]);
    let (error, asked) = (SqlError::Interrupted, r#"["REQ","s",{"kinds":[1],"limit":3}]"#);
    let read = with_reader_threads(&mut bench, asked);
    let closed = read.refused(&error).to_json();
    assert!(closed.starts_with(r#"["CLOSED","s","error: this query takes too long"#), "{closed}");
    assert_eq!(bench.handle(Input::ReadFailed { read, error: error.clone() }), [Effect::SessionChanged(BOB)]);
    assert_eq!(bench.publish(BOB, &event).len(), 1);

    // A later request with the same id is not affected.
    let read = with_reader_threads(&mut bench, asked);
    assert!(is_answered(&mut bench, r#"["REQ","s",{"kinds":[1,2]}]"#));
    assert_eq!(bench.handle(Input::ReadFailed { read, error }), []);
    assert_eq!(bench.publish(BOB, &fixtures::signed(2, 1, &[])).len(), 2);
}

#[test]
fn a_count_that_is_interrupted_is_approximate_and_a_reconciliation_too_big() {
    let mut bench = bench();
    let insert = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 3000)
        INSERT INTO event (seq, id, pubkey, created_at, kind, json)
        SELECT n << 20, randomblob(32), zeroblob(32), n, 1, '{}' FROM number";
    bench.relay.store().sql().execute(insert, &[]).unwrap();
    for (asked, answer) in [
        (r#"["COUNT","s",{"kinds":[1]}]"#, r#"["COUNT","s",{"count":0,"approximate":true}]"#),
        (
            r#"["NEG-OPEN","s",{"kinds":[1]},"6100000200"]"#,
            r#"["NEG-ERR","s","blocked: this query is too big"#,
        ),
    ] {
        let read = with_reader_threads(&mut bench, asked);
        let (store, mut told) = (bench.relay.store(), Vec::new());
        let tell = &mut |message: RelayMessage| told.push(message.to_json());
        let answered = store.sql().limited(20, || read.answer(store, &RelayConfig::default(), tell));
        answered.unwrap();
        assert!(told.len() == 1 && told[0].starts_with(answer), "{told:?}");
    }
}

#[test]
fn an_inline_answer_is_marked_with_its_subscription() {
    let mut bench = bench();
    bench.relay.batch_size_hint(1);
    let text = r#"["REQ","s",{"kinds":[1]}]"#.to_owned();
    let effects = bench.text(BOB, &text);
    assert!(matches!(&effects[0], Effect::Answering { connection: BOB, .. }), "{effects:?}");
}

#[test]
fn reports_the_memory_of_subscriptions_if_it_changes_by_more_than_a_little() {
    let mut bench = bench();
    let memory = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::MemoryChanged { connection: BOB, bytes } => Some(*bytes),
            _ => None,
        })
    };
    let values: Vec<String> = (0..1_000).map(|number| format!("\"{number}\"")).collect();
    let many = format!(r##"{{"#t":[{}]}}"##, values.join(","));
    assert_eq!(memory(&bench.text(BOB, r#"["REQ","s",{"kinds":[1]}]"#)), None);
    let before = memory(&bench.text(BOB, &format!(r#"["REQ","s",{many}]"#))).unwrap();
    assert!(before > 10_000, "{before}");
    assert_eq!(memory(&bench.text(BOB, r#"["REQ","t",{"kinds":[1]}]"#)), None);
    assert_eq!(bench.relay.connections_by_memory()[0].0, BOB);
    bench.relay.forget(bench.now);
    assert_eq!(memory(&bench.text(BOB, r#"["REQ","t",{"kinds":[2]}]"#)), None, "it was told before");
    let reconciles = memory(&bench.text(BOB, &format!(r#"["NEG-OPEN","n",{many},"6100"]"#))).unwrap();
    assert!(reconciles > before + 10_000, "{reconciles}");
    assert!(memory(&bench.text(BOB, r#"["NEG-CLOSE","n"]"#)).unwrap() < reconciles);
    assert!(memory(&bench.text(BOB, r#"["CLOSE","s"]"#)).unwrap() < 4_096);
}
