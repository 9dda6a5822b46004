//! Reconciliation (NIP-77) and search (NIP-50) through the engine.

use openagents_host::native::Sqlite;
use openagents_host::{Engine, EventId};

use super::{ALICE, BOB, Bench, NOW};
use crate::engine::{Effect, Input, Relay, RelayConfig};
use crate::fixtures::{keys, signed_by};
use crate::limits::Limits;
use crate::session::Origin;
use openagents_host::nostr::message::RelayMessage;

/// The message of a side without events.
const NOTHING: &str = "6100000200";

fn bench(most: u64) -> Bench {
    let limits = Limits { max_reconciled_events: most, ..Limits::default() };
    let config = RelayConfig { limits, ..RelayConfig::default() };
    let mut bench = Bench { relay: Relay::open(Sqlite::in_memory().unwrap(), config).unwrap(), now: NOW };
    [ALICE, BOB].into_iter().for_each(|connection| bench.open(connection));
    bench
}

fn answer(bench: &mut Bench, text: &str) -> String {
    let mut said = bench.say(BOB, text);
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0).1
}

fn all(ids: &[EventId]) -> String {
    let ids: String = ids.iter().map(|id| id.to_hex()).collect();
    format!(r#"["NEG-MSG","n","61000002{:02x}{ids}"]"#, ids.len() / 64)
}

#[test]
fn a_query_that_is_too_big_is_refused() {
    let mut bench = bench(2);
    let open = format!(r#"["NEG-OPEN","n",{{"kinds":[1]}},"{NOTHING}"]"#);
    let mut ids = Vec::new();
    for second in 1..=2 {
        let event = signed_by(&keys(0), 1, second, &[], "");
        bench.publish(ALICE, &event);
        ids.push(event.id);
    }
    assert_eq!(answer(&mut bench, &open), all(&ids));
    bench.publish(ALICE, &signed_by(&keys(0), 1, 3, &[], ""));
    assert_eq!(
        answer(&mut bench, &format!(r#"["NEG-MSG","n","{NOTHING}"]"#)),
        all(&ids),
        "it is about what there was"
    );
    let refused = answer(&mut bench, &open);
    assert!(
        refused.starts_with(r#"["NEG-ERR","n","blocked: this query is too big, with too many records: "#),
        "{refused}"
    );
    let closed = answer(&mut bench, &format!(r#"["NEG-MSG","n","{NOTHING}"]"#));
    assert!(closed.starts_with(r#"["NEG-ERR","n","closed: "#), "{closed}");
}

#[test]
fn a_query_that_looks_at_too_much_is_refused_and_its_count_is_approximate() {
    let limits = Limits { max_look_ups: 4, ..Limits::default() };
    let config = RelayConfig { limits, ..RelayConfig::default() };
    let mut bench = Bench { relay: Relay::open(Sqlite::in_memory().unwrap(), config).unwrap(), now: NOW };
    [ALICE, BOB].into_iter().for_each(|connection| bench.open(connection));
    // Each condition finds three events, both together find none: six look-ups.
    for second in 1..=6 {
        let tag = if second % 2 == 0 { "t" } else { "x" };
        bench.publish(ALICE, &signed_by(&keys(0), 1, second, &[&[tag, "a"]], ""));
    }
    let both = r##"{"#t":["a"],"#x":["a"]}"##;
    assert_eq!(
        answer(&mut bench, &format!(r#"["COUNT","n",{both}]"#)),
        r#"["COUNT","n",{"count":0,"approximate":true}]"#
    );
    let refused = answer(&mut bench, &format!(r#"["NEG-OPEN","n",{both},"{NOTHING}"]"#));
    assert!(
        refused.starts_with(r#"["NEG-ERR","n","blocked: this query is too big, with too many records: "#),
        "{refused}"
    );
    // There are no registers for only some of the authors.
    assert!(!answer(&mut bench, r##"["COUNT","n",{"since":1,"#t":["a"]}]"##).contains("approximate"));
    bench.publish(ALICE, &signed_by(&keys(0), 1, 8, &[&["t", "a"]], ""));
    bench.publish(ALICE, &signed_by(&keys(0), 1, 9, &[&["t", "a"]], ""));
    assert_eq!(
        answer(&mut bench, r##"["COUNT","n",{"#t":["a"]}]"##),
        r#"["COUNT","n",{"count":4,"approximate":true}]"#
    );
}

#[test]
fn a_step_that_is_answered_beside_the_engine_leaves_its_records_there() {
    let mut bench = bench(10);
    let note = signed_by(&keys(0), 1, 2, &[], "");
    bench.publish(ALICE, &note);
    bench.relay = bench.relay.with_reader_threads();
    let open = format!(r#"["NEG-OPEN","n",{{"kinds":[1]}},"{NOTHING}"]"#);
    let go_on = format!(r#"["NEG-MSG","n","{NOTHING}"]"#);
    let read = |bench: &mut Bench, text: &str| {
        let effects = bench.text(BOB, text);
        let read = effects.iter().find_map(|effect| match effect {
            Effect::Read(read) => Some(read.clone()),
            _ => None,
        });
        let read = read.unwrap_or_else(|| panic!("{effects:?}"));
        let mut told = Vec::new();
        let mut tell = |message: RelayMessage| told.push(message.to_json());
        let reconciled =
            read.answer(bench.relay.store(), &RelayConfig::default(), &mut tell).unwrap().unwrap();
        (told, reconciled)
    };
    let (told, reconciled) = read(&mut bench, &open);
    assert_eq!(told, [all(&[note.id])]);
    // A reconciliation that was closed meanwhile is not reopened.
    bench.say(BOB, r#"["NEG-CLOSE","n"]"#);
    bench.handle(Input::Reconciled(reconciled));
    assert!(answer(&mut bench, &go_on).contains("closed: "));
    let (_, reconciled) = read(&mut bench, &open);
    bench.handle(Input::Reconciled(reconciled));
    assert_eq!(answer(&mut bench, &go_on), all(&[note.id]), "from what is in memory");
    let (told, reconciled) = read(&mut bench, r#"["NEG-OPEN","n",{"kinds":[1]},"6100000201"]"#);
    assert!(told[0].starts_with(r#"["NEG-ERR","n","invalid: "#), "{told:?}");
    bench.handle(Input::Reconciled(reconciled));
    assert!(answer(&mut bench, &go_on).contains("closed: "));
}

#[test]
fn what_is_private_is_not_in_it_for_others() {
    let mut bench = bench(10);
    let wrap = signed_by(&keys(0), 1_059, 1, &[&["p", &keys(1).public_key().to_hex()]], "");
    let note = signed_by(&keys(0), 1, 2, &[], "");
    bench.publish(ALICE, &wrap);
    bench.publish(ALICE, &note);
    let open = format!(r#"["NEG-OPEN","n",{{"since":0}},"{NOTHING}"]"#);
    assert_eq!(answer(&mut bench, &open), all(&[note.id]));
}

#[test]
fn goes_on_after_the_relay_forgot_everything() {
    let mut bench = bench(10);
    let note = signed_by(&keys(0), 1, 2, &[], "");
    bench.publish(ALICE, &note);
    answer(&mut bench, &format!(r#"["NEG-OPEN","n",{{"kinds":[1]}},"{NOTHING}"]"#));
    bench.relay.forget(NOW);
    assert_eq!(answer(&mut bench, &format!(r#"["NEG-MSG","n","{NOTHING}"]"#)), all(&[note.id]));
    assert!(bench.say(BOB, r#"["NEG-CLOSE","n"]"#).is_empty());
    bench.relay.forget(NOW);
    assert!(answer(&mut bench, &format!(r#"["NEG-MSG","n","{NOTHING}"]"#)).contains("closed: "));
}

#[test]
fn the_index_of_words_is_made_by_alarm_when_much_has_come() {
    let mut bench = bench(10);
    for number in 0..999 {
        bench.relay.shard.index_later(NOW);
        assert_eq!(bench.relay.next_alarm(), None, "{number}");
    }
    for second in 0..600 {
        bench.relay.store().insert(NOW, &signed_by(&keys(0), 1, second, &[], "a relay")).unwrap();
    }
    bench.relay.shard.index_later(NOW);
    let later = |seconds| NOW + std::time::Duration::from_secs(seconds);
    assert_eq!(bench.relay.next_alarm(), Some(later(1)));
    // While many events arrive, indexing waits.
    for _ in 0..1_001 {
        bench.relay.shard.index_later(NOW);
    }
    let mut effects = Vec::new();
    bench.relay.alarm(later(1), &mut effects);
    assert_eq!(bench.relay.next_alarm(), Some(later(2)));
    assert!(bench.relay.store().is_index_behind(NOW).unwrap());
    // Five hundred are indexed at a time.
    for next in [Some(later(2)), None] {
        bench.relay.alarm(later(2), &mut effects);
        assert_eq!(bench.relay.next_alarm(), next);
    }
    assert!(effects.is_empty() && !bench.relay.store().is_index_behind(NOW).unwrap());
}

#[test]
fn the_index_of_words_does_not_wait_for_ever() {
    let mut bench = bench(10);
    for second in 0..600 {
        bench.relay.store().insert(NOW, &signed_by(&keys(0), 1, second, &[], "a relay")).unwrap();
    }
    let mut now = NOW;
    for second in 1.. {
        for _ in 0..3_000 {
            bench.relay.shard.index_later(now);
        }
        now = NOW + std::time::Duration::from_secs(second);
        bench.relay.alarm(now, &mut Vec::new());
        if bench.relay.next_alarm() == Some(now) {
            assert!((15..20).contains(&second), "{second}");
            return;
        }
    }
}

#[test]
fn a_search_tells_a_reader_nothing_private() {
    let mut bench = bench(10);
    let to_bob = signed_by(&keys(0), 30_023, 1, &[&["p", &keys(1).public_key().to_hex()]], "a relay");
    let config = RelayConfig {
        access: crate::Access {
            private_kinds: [to_bob.kind].into_iter().collect(),
            ..crate::Access::default()
        },
        ..RelayConfig::default()
    };
    bench.relay = Relay::open(Sqlite::in_memory().unwrap(), config).unwrap();
    bench.handle(Input::Open {
        connection: BOB,
        origin: Origin { challenge: "c".into(), ..Origin::default() },
    });
    bench.relay.store().insert(NOW, &to_bob).unwrap();
    let text = r#"["REQ","s",{"search":"relay"}]"#.to_owned();
    let effects = bench.text(BOB, &text);
    let sent = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Send { message: RelayMessage::Event { .. }, .. }));
    assert_eq!(sent.count(), 0);
}
