//! Fuzzes filters: a parsed filter is read back unchanged from its own JSON, SQL finds the same events as matching one by
//! one, and numbers that no event can have are no mistake.

#![no_main]

use std::cmp::Reverse;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openagents_host::native::Sqlite;
use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};
use openagents_relay::store::{Store, Viewer};
use openagents_relay::{Filter, Limits};
use serde_json::Value;

const NOW: Timestamp = Timestamp::from_seconds(1_000);

/// Events with fields from the corpus and the dictionary.
static EVENTS: LazyLock<Vec<VerifiedEvent>> = LazyLock::new(|| {
    let keys = [1, 2].map(|byte| Keys::from_secret(&[byte; 32]).expect("a key"));
    let mut events = Vec::new();
    for (number, kind) in [1, 1, 7, 5_050, 7_000, 6_050, 1, 30_023].into_iter().enumerate() {
        let author = &keys[number % 2];
        let other = keys[(number + 1) % 2].public_key().to_hex();
        let event = UnsignedEvent::new(Kind(kind), number.to_string())
            .tag(["t", ["a", "b", "", "a\0b"][number % 4]])
            .tag(["p", other.as_str()])
            .tag(["d", ["x", "é🦀"][number % 2]]);
        events.push(event.sign(author, Timestamp::from_seconds(number as u64 / 2)));
    }
    events
});

fn store() -> Store<Sqlite> {
    let store = Store::open(Sqlite::in_memory().expect("a database")).expect("a store");
    for event in EVENTS.iter() {
        store.insert(NOW, event).expect("room for an event");
    }
    store
}

thread_local! {
    static STORE: Store<Sqlite> = store();
}

/// The `kinds` of a filter that has nothing else than integers; NIP-01 asks for no more.
fn integers(text: &str) -> Option<Vec<Value>> {
    let Value::Object(fields) = serde_json::from_str(text).ok()? else { return None };
    let is_integer = |value: &Value| value.is_u64() || value.is_i64();
    let is_known = |(name, value): (&String, &Value)| match name.as_str() {
        "kinds" => value.as_array().is_some_and(|kinds| kinds.iter().all(is_integer)),
        "since" | "until" | "limit" => value.is_u64(),
        _ => false,
    };
    // `Value` keeps the last of two fields with one name.
    let names = fields.keys().all(|name| text.matches(&format!("\"{name}\"")).count() == 1);
    let kinds = fields.get("kinds")?.as_array()?;
    (names && fields.iter().all(is_known)).then(|| kinds.clone())
}

fuzz_target!(|text: &str| {
    let kinds = integers(text);
    let filter = match Filter::from_json(text) {
        Ok(filter) => filter,
        Err(error) => return assert_eq!(kinds, None, "{error}"),
    };
    assert!(matches!(serde_json::from_str(text), Ok(Value::Object(_))), "a filter that is no object: {text}");
    if let Some(kinds) = kinds {
        for event in EVENTS.iter().filter(|event| filter.matches(event)) {
            assert!(kinds.contains(&event.kind.0.into()), "{text} matches kind {}", event.kind);
        }
    }
    let json = serde_json::to_string(&filter).expect("a filter is JSON");
    assert_eq!(Filter::from_json(&json).as_ref(), Ok(&filter), "{json}");

    let limits = Limits::default();
    let mut expected: Vec<&VerifiedEvent> = EVENTS.iter().filter(|event| filter.matches(event)).collect();
    expected.sort_by_key(|event| (Reverse(event.created_at), event.id));
    // A search returns the best first (NIP-50), so of one with a limit, which are found is not known here.
    let is_search = filter.search.is_some();
    if is_search && filter.limit.is_some() {
        return;
    }
    expected.truncate(usize::try_from(limits.stored_events(&filter)).expect("small"));
    let mut found = Vec::new();
    STORE.with(|store| {
        let viewer = Viewer::everything();
        let queried = store.query(NOW, &[filter], &limits, &viewer, &mut |event| found.push(event));
        queried.expect("SQL that this database takes");
    });
    let mut expected: Vec<&str> = expected.iter().map(|event| &**event.json()).collect();
    let mut found: Vec<&str> = found.iter().map(|event| &**event).collect();
    if is_search {
        expected.sort_unstable();
        found.sort_unstable();
    }
    assert_eq!(found, expected, "{json}");
});
