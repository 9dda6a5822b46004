//! Fuzzes conversations of three clients with a relay that may forget its memory between any two messages. Each line
//! of the input is a step: its first character selects the client or the action, the rest is the message.
//!
//! Every attributable `EVENT` gets one `OK` and every `REQ` one `EOSE` or `CLOSED`, all answers are valid JSON, and
//! the database keeps working.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use openagents_host::{Engine, Keys, Kind, SqlError, Timestamp, UnsignedEvent};
use openagents_relay::{
    Access, ConnectionId, Effect, Input, Limits, Origin, Outcome, Relay, RelayConfig, RelayMessage, Ticket,
};
use serde_json::Value;

static KEYS: LazyLock<[Keys; 2]> =
    LazyLock::new(|| [1, 2].map(|byte| Keys::from_secret(&[byte; 32]).expect("a key")));

const START: u64 = 1_700_000_000;

fn config() -> RelayConfig {
    RelayConfig {
        limits: Limits { max_subscriptions: 3, max_filters_length: 400, max_limit: 5, ..Limits::default() },
        access: Access { hosts: ["relay.example".to_owned()].into(), ..Access::default() },
        handover: [Kind(5_050), Kind(25_050)].into_iter().collect(),
        ..RelayConfig::default()
    }
}

/// The event described by a line: `author kind age tag=value … content`.
fn event(line: &str, number: u64) -> openagents_host::VerifiedEvent {
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let author = usize::from(word().len() % 2 == 1);
    let kind = word().parse().unwrap_or(1);
    let age: u64 = word().parse().unwrap_or_default();
    let mut event = UnsignedEvent::new(Kind(kind), "");
    for tag in words {
        let (name, value) = tag.split_once('=').unwrap_or((tag, ""));
        event = event.tag([name, value]);
    }
    let created_at = (START + number).saturating_sub(age % 4_000_000_000);
    event.sign(&KEYS[author], Timestamp::from_seconds(created_at))
}

fn answers(effects: &[Effect], connection: ConnectionId) -> Vec<Value> {
    let mut answers = Vec::new();
    for effect in effects {
        match effect {
            Effect::Send { connection: to, message } => {
                let json = message.to_json();
                let answer: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("no JSON: {json}"));
                if *to == connection && !matches!(message, RelayMessage::Event { .. }) {
                    answers.push(answer);
                }
            }
            Effect::Failed(error) => panic!("the database failed: {error}"),
            _ => {}
        }
    }
    answers
}

thread_local! {
    static SQL: Sqlite = {
        let sql = Sqlite::in_memory().expect("a database");
        Relay::open(sql.clone(), config()).expect("a relay");
        sql
    };
}

fuzz_target!(|script: &str| {
    SQL.with(|sql| {
        // Undoing a conversation's changes is much faster than creating the tables again.
        let undone: Result<(), SqlError> = sql.transaction(|| {
            converse(sql, script);
            Err(SqlError::Statement("undone".into()))
        });
        assert!(undone.is_err());
    });
});

fn converse(sql: &Sqlite, script: &str) {
    let mut relay = Relay::open(sql.clone(), config()).expect("a relay");
    let connections = [1, 2, 3].map(ConnectionId::new);
    let mut effects = Vec::new();
    let mut now = Timestamp::from_seconds(START);
    for connection in connections {
        let origin = Origin { challenge: "challenge".into(), ..Origin::default() };
        relay.handle(now, &Input::Open { connection, origin }, &mut effects);
    }
    for (number, line) in script.lines().take(40).enumerate() {
        let Some(first) = line.chars().next() else { continue };
        let rest = line.get(first.len_utf8()..).unwrap_or_default();
        effects.clear();
        match first {
            'f' => relay.forget(now),
            'z' => {
                now = now + std::time::Duration::from_secs(rest.len() as u64 * 1_000);
                relay.alarm(now, &mut effects);
                answers(&effects, connections[0]);
            }
            'q' => {
                let filters = serde_json::from_str(rest).unwrap_or_default();
                relay.handle(now, &Input::Query { ticket: Ticket(1), filters }, &mut effects);
                assert!(matches!(effects.last(), Some(Effect::Found { .. })), "{effects:?}");
                answers(&effects, connections[0]);
            }
            'p' => {
                let event = event(rest, number as u64);
                relay.handle(now, &Input::Publish { ticket: Ticket(1), event }, &mut effects);
                assert!(matches!(effects.last(), Some(Effect::Published { .. })), "{effects:?}");
                answers(&effects, connections[0]);
            }
            'e' | 'a' => {
                let event = event(rest, number as u64);
                let verb = if first == 'e' { "EVENT" } else { "AUTH" };
                let text = format!("[\"{verb}\",{}]", event.json());
                let message = relay.admit(now, connections[0], &text);
                relay.handle_once(now, Input::Message { connection: connections[0], message }, &mut effects);
                let answers = answers(&effects, connections[0]);
                let of = |answer: &&Value| answer[0] == "OK" && answer[1] == event.id.to_hex();
                assert_eq!(answers.iter().filter(of).count(), 1, "{answers:?}");
                for effect in &effects {
                    if let Effect::Send { message: RelayMessage::Ok { outcome, .. }, .. } = effect {
                        let text = outcome.to_string();
                        assert!(*outcome == Outcome::Accepted || text.contains(": "), "{text}");
                    }
                }
            }
            _ => {
                let connection = connections[first as usize % 3];
                let message = relay.admit(now, connection, rest);
                relay.handle_once(now, Input::Message { connection, message }, &mut effects);
                let answers = answers(&effects, connection);
                if let Ok(Value::Array(elements)) = serde_json::from_str(rest)
                    && let [Value::String(verb), Value::String(_), _, ..] = &elements[..]
                    && verb == "REQ"
                {
                    let ends = |answer: &&Value| answer[0] == "EOSE" || answer[0] == "CLOSED";
                    assert_eq!(answers.iter().filter(ends).count(), 1, "{rest}: {answers:?}");
                }
            }
        }
    }
    effects.clear();
    let filters = vec![openagents_relay::Filter::new()];
    relay.handle(now, &Input::Query { ticket: Ticket(9), filters }, &mut effects);
    assert!(matches!(&effects[..], [Effect::Found { events: Ok(_), .. }]), "{effects:?}");
}
