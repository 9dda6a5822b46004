//! Who reads for a `REQ`: the engine itself, or its host beside it.

use openagents_host::Engine;
use openagents_host::native::Sqlite;
use openagents_host::sql::{Sql, SqlError, values};

use super::{BOB, Bench, NOW, messages};
use crate::fixtures;
use crate::relay::{Effect, Input, Relay, RelayConfig};
use crate::tag::{TagKey, TagName};

fn bench() -> Bench {
    let mut bench = Bench::empty(RelayConfig::default());
    bench.relay = Relay::open(Sqlite::in_memory().unwrap(), RelayConfig::default()).unwrap().read_beside();
    bench.open(BOB);
    bench
}

/// Whether a request is answered at once.
fn is_answered(bench: &mut Bench, request: &str) -> bool {
    let effects = bench.handle(Input::Text { connection: BOB, text: request.to_owned() });
    let left: Vec<_> = effects.iter().filter(|effect| matches!(effect, Effect::Read(_))).collect();
    let told = effects.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count();
    assert_eq!(left.is_empty(), told > 0, "{effects:?}");
    left.is_empty()
}

#[test]
fn what_comes_alone_and_is_found_soon_is_answered_at_once() {
    let mut bench = bench();
    bench.relay.store().insert(NOW, &fixtures::signed(1, 1, &[])).unwrap();
    bench.relay.expect(1);
    assert!(is_answered(&mut bench, r#"["REQ","s",{"kinds":[1]}]"#));
    assert!(!is_answered(&mut bench, r#"["REQ","s",{"search":"relay"}]"#));
    bench.relay.expect(100);
    assert!(!is_answered(&mut bench, r#"["REQ","s",{"kinds":[1]}]"#));
}

#[test]
fn what_is_long_to_find_or_to_tell_is_left_to_the_host() {
    let mut bench = bench();
    bench.relay.expect(1);
    let insert = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 3000)
        INSERT INTO event (seq, id, pubkey, created_at, kind, json)
        SELECT n << 20, randomblob(32), zeroblob(32), n, 1 + n / 2999, '{' || printf('%.*c', 400, ' ') || '}' FROM number";
    bench.relay.store().sql().execute(insert, &[]).unwrap();
    assert!(is_answered(&mut bench, r#"["REQ","s",{"kinds":[2]}]"#));
    assert!(is_answered(&mut bench, r#"["REQ","s",{"kinds":[1],"limit":100}]"#));
    assert!(!is_answered(&mut bench, r#"["REQ","s",{"kinds":[1],"limit":500}]"#), "long to tell");
    // Many have the one tag, many the other, none has both.
    for (name, odd) in [("x", 0), ("y", 1)] {
        let key = TagKey::new(TagName::new(name).unwrap(), "a");
        let tag = "INSERT INTO tag (key, seq, kind) SELECT ?, seq, kind FROM event WHERE created_at % 2 = ?";
        bench.relay.store().sql().execute(tag, values![key.as_bytes(), odd]).unwrap();
    }
    assert!(is_answered(&mut bench, r##"["REQ","s",{"#x":["a"],"limit":10}]"##));
    assert!(!is_answered(&mut bench, r##"["REQ","s",{"#x":["a"],"#y":["a"]}]"##), "long to find");
}

#[test]
fn a_question_that_is_too_long_for_everybody_is_refused_and_not_subscribed_to() {
    let mut bench = bench();
    bench.relay.expect(100);
    let text = r#"["REQ","s",{"kinds":[1]}]"#.to_owned();
    let Some(Effect::Read(reading)) = bench.handle(Input::Text { connection: BOB, text }).into_iter().next()
    else {
        panic!("it is read beside")
    };
    let effects = bench.handle(Input::Unreadable { reading, error: SqlError::Interrupted });
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Failed(_))));
    let [(BOB, closed)] = &messages(effects)[..] else { panic!("one message") };
    assert!(closed.starts_with(r#"["CLOSED","s","error: finding what this asks for"#), "{closed}");
    let event = fixtures::signed(1, 1, &[]);
    assert_eq!(bench.publish(BOB, &event).len(), 1);
}
