#![allow(clippy::arithmetic_side_effects)]

use std::cmp::Reverse;
use std::collections::BTreeMap;

use openagents_host::event::Retention;
use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use openagents_host::{EventId, VerifiedEvent};
use proptest::prelude::*;

use super::{Insertion, Store};
use crate::filter::Filter;
use crate::fixtures;
use crate::limits::Limits;

fn store() -> Store<Sqlite> {
    Store::open(Sqlite::in_memory().unwrap()).unwrap()
}

fn insert_all(store: &Store<Sqlite>, events: &[VerifiedEvent]) {
    for event in events {
        store.insert(event).unwrap();
    }
}

fn find(store: &Store<Sqlite>, filters: &[Filter], limits: &Limits) -> Vec<String> {
    let mut found = Vec::new();
    store.query(filters, limits, &mut |json| found.push(json.to_string())).unwrap();
    found
}

/// The rules of NIP-01, told the long way: all events at once, by a total order.
fn kept(events: &[VerifiedEvent]) -> Vec<VerifiedEvent> {
    let mut kept: BTreeMap<(String, Option<EventId>), VerifiedEvent> = BTreeMap::new();
    for event in events {
        let slot = match event.kind.retention() {
            Retention::Replaceable => (format!("{}:{}", event.pubkey, event.kind), None),
            Retention::Addressable => {
                (format!("{}:{}:{}", event.pubkey, event.kind, event.identifier()), None)
            }
            _ => (String::new(), Some(event.id)),
        };
        let rank = |event: &VerifiedEvent| (event.created_at, Reverse(event.id));
        match kept.get(&slot) {
            Some(stored) if rank(stored) >= rank(event) => {}
            _ => drop(kept.insert(slot, event.clone())),
        }
    }
    kept.into_values().collect()
}

fn matching(events: &[VerifiedEvent], filters: &[Filter], limits: &Limits) -> Vec<String> {
    let order = |event: &&VerifiedEvent| (Reverse(event.created_at), event.id);
    let mut found: Vec<&VerifiedEvent> = filters
        .iter()
        .flat_map(|filter| {
            let mut matching: Vec<_> = events.iter().filter(|event| filter.matches(event)).collect();
            matching.sort_by_key(order);
            matching.truncate(limits.stored_events(filter).try_into().unwrap());
            matching
        })
        .collect();
    found.sort_by_key(order);
    found.dedup_by_key(|event| event.id);
    found.into_iter().map(|event| event.json().to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn finds_exactly_what_a_look_at_every_event_finds(
        events in fixtures::events(0..40),
        mut filters in prop::collection::vec(fixtures::filter(), 1..4),
        by_id in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let store = store();
        insert_all(&store, &events);
        if !events.is_empty() && !by_id.is_empty() {
            filters.push(Filter { ids: Some(by_id.iter().map(|index| index.get(&events).id).collect()), ..Filter::default() });
        }
        let limits = Limits { default_limit: 20, max_limit: 7, ..Limits::default() };
        prop_assert_eq!(find(&store, &filters, &limits), matching(&kept(&events), &filters, &limits));
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(events in fixtures::events(0..30), seed in any::<u64>()) {
        let mut shuffled = events.clone();
        shuffled.sort_by_key(|event| event.id.as_bytes().iter().fold(seed, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte)));
        let everything = [Filter { limit: Some(1_000), ..Filter::default() }];
        let [first, second] = [events, shuffled].map(|events| {
            let store = store();
            insert_all(&store, &events);
            find(&store, &everything, &Limits::default())
        });
        prop_assert_eq!(first, second);
    }

    #[test]
    fn nothing_is_left_of_a_version_that_was_replaced(events in fixtures::events(0..30)) {
        let store = store();
        insert_all(&store, &events);
        let orphans: Option<(u64,)> = store.sql().first("SELECT count(*) FROM tag WHERE seq NOT IN (SELECT seq FROM event)", &[]).unwrap();
        prop_assert_eq!(orphans, Some((0,)));
        let stored: Vec<(u64,)> = store.sql().rows("SELECT seq FROM event", &[]).unwrap();
        prop_assert_eq!(stored.len(), kept(&events).len());
    }
}

#[test]
fn tells_what_became_of_each_version() {
    let store = store();
    let at = |seconds, content: &str| {
        fixtures::signed_by(&fixtures::keys(0), 30_023, seconds, &[&["d", "x"]], content)
    };
    let mut same_second = [at(5, "a"), at(5, "b")];
    same_second.sort_by_key(|event| event.id);
    let [lower, higher] = same_second;
    for (event, expected) in [
        (&higher, Insertion::Inserted),
        (&higher, Insertion::Duplicate),
        (&lower, Insertion::Inserted),
        (&higher, Insertion::Superseded),
        (&at(4, ""), Insertion::Superseded),
        (&at(6, ""), Insertion::Inserted),
        (&fixtures::signed_by(&fixtures::keys(0), 30_023, 1, &[&["d", "y"]], ""), Insertion::Inserted),
        (&fixtures::signed_by(&fixtures::keys(1), 30_023, 1, &[&["d", "x"]], ""), Insertion::Inserted),
    ] {
        assert_eq!(store.insert(event).unwrap(), expected, "{}", event.json());
    }
}

#[test]
fn an_event_without_d_tag_and_one_with_an_empty_one_replace_each_other() {
    let store = store();
    store.insert(&fixtures::signed(30_000, 1, &[])).unwrap();
    assert_eq!(store.insert(&fixtures::signed(30_000, 2, &[&["d", ""]])).unwrap(), Insertion::Inserted);
    assert_eq!(find(&store, &[Filter::default()], &Limits::default()).len(), 1);
}

#[test]
fn an_answer_ends_where_it_would_get_too_long() {
    let store = store();
    let events = [1, 2, 3].map(|at| fixtures::signed(1, at, &[]));
    insert_all(&store, &events);
    let two = events[2].json().len() + events[1].json().len();
    for (max_answer_length, expected) in [(two, 2), (two - 1, 1), (0, 0)] {
        let limits = Limits { max_answer_length, ..Limits::default() };
        let found = find(&store, &[Filter::default()], &limits);
        assert_eq!(found.len(), expected);
        assert!(found.first().is_none_or(|newest| **newest == **events[2].json()));
    }
}

#[test]
fn stores_and_finds_the_largest_events_that_pass_the_limits() {
    let store = store();
    let many: Vec<Vec<String>> = (0..2_500).map(|n| vec!["t".to_owned(), n.to_string()]).collect();
    let event = openagents_host::UnsignedEvent::new(openagents_host::Kind(1), "\u{1}".repeat(128 * 1024))
        .tags(many)
        .sign(
            &fixtures::keys(0),
            openagents_host::Timestamp::from_seconds(openagents_host::event::MAX_CREATED_AT),
        );
    assert_eq!(store.insert(&event).unwrap(), Insertion::Inserted);
    assert_eq!(store.insert(&event).unwrap(), Insertion::Duplicate);
    let filter = Filter::from_json(r##"{"#t":["2499","none"]}"##).unwrap();
    assert_eq!(find(&store, &[filter], &Limits::default()), [event.json().to_string()]);
}

#[test]
fn notes_when_an_event_expires() {
    let store = store();
    for (at, value) in
        [(1, "1700000000"), (2, "soon"), (3, "99999999999999999999"), (4, "18446744073709551615")]
    {
        store.insert(&fixtures::signed(1, at, &[&["expiration", value]])).unwrap();
    }
    let expiries: Vec<(Option<u64>,)> =
        store.sql().rows("SELECT expires_at FROM event ORDER BY seq", &[]).unwrap();
    assert_eq!(expiries, [(Some(1_700_000_000),), (None,), (None,), (None,)]);
}
