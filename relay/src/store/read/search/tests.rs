//! Tests of full-text search (NIP-50) in the store.

#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;

use openagents_host::native::Sqlite;
use openagents_host::sql::{Sql, values};
use openagents_host::{EventId, Kind, PublicKey, Timestamp, VerifiedEvent};
use proptest::prelude::*;

use super::{MAX_MATCHES, SearchResult};
use crate::fixtures::{self, keys, signed_by};
use crate::limits::Limits;
use crate::store::{Store, Viewer};
use openagents_host::nostr::filter::{Filter, OneOf};
use openagents_host::nostr::message::Completeness;
use openagents_host::nostr::search::Search;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn store() -> Store<Sqlite> {
    Store::open(Sqlite::in_memory().unwrap()).unwrap()
}

fn search_as(store: &Store<Sqlite>, filter: &Filter, viewer: &Viewer<'_>) -> SearchResult {
    store.search(NOW, filter, filter.search.as_ref().unwrap(), &Limits::default(), viewer).unwrap()
}

fn search(store: &Store<Sqlite>, filter: &Filter) -> Vec<EventId> {
    ids(&search_as(store, filter, &Viewer::everything()))
}

fn ids(found: &SearchResult) -> Vec<EventId> {
    found.events.iter().map(|json| openagents_host::Event::from_json(json).unwrap().id).collect()
}

fn query(text: &str) -> Filter {
    Filter::new().search(Search::parse(text).unwrap())
}

/// An event with a few words as its content.
fn event() -> impl Strategy<Value = VerifiedEvent> {
    let word = prop::sample::select(&["nostr", "Nóstr", "relay", "relays", "東京", "a", "b-c"][..]);
    let second = prop_oneof![0..6_u64, Just(NOW.as_seconds()), Just(NOW.as_seconds() + 900)];
    let title = prop::option::weighted(0.3, word.clone());
    let content = prop::collection::vec(word, 0..5);
    (0..3_usize, prop::sample::select(&[0_u16, 1, 4, 7, 30_023][..]), second, content, title).prop_map(
        |(author, kind, second, content, title)| {
            let title = title.map(|title| ["title", title]);
            let tags: Vec<&[&str]> = title.iter().map(<[&str; 2]>::as_slice).collect();
            signed_by(&keys(author), kind, second, &tags, &content.join(" "))
        },
    )
}

fn filter() -> impl Strategy<Value = Filter> {
    let word = prop::sample::select(
        &["nostr", "relay", "\"nostr relay\"", "-a", "京", "東京", "c-b", "b-c", "rel", "x:y", "missing"][..],
    );
    let text = prop::collection::vec(word, 1..4)
        .prop_filter_map("nothing to search for", |words| Search::parse(&words.join(" ")).ok());
    (text, fixtures::filter(), any::<bool>()).prop_map(|(search, filter, alone)| {
        let filter = if alone { Filter::new() } else { Filter { limit: None, ids: None, ..filter } };
        filter.search(search)
    })
}

proptest! {
    #[test]
    fn finds_matches_whether_or_not_they_are_indexed(
        events in prop::collection::vec((event(), 0..4_u32), 0..20), filters in prop::collection::vec(filter(), 1..5),
    ) {
        let store = store();
        for (event, indexed) in &events {
            store.insert(NOW, event).unwrap();
            if *indexed > 0 {
                store.extend_index(NOW, *indexed).unwrap();
            }
        }
        let all: BTreeSet<EventId> = {
            let mut all = Vec::new();
            store.query(NOW, &[Filter::new()], &Limits::default(), &Viewer::everything(), &mut |json| all.push(json)).unwrap();
            all.iter().map(|json| openagents_host::Event::from_json(json).unwrap().id).collect()
        };
        for filter in filters {
            let found: BTreeSet<EventId> = search(&store, &filter).into_iter().collect();
            let stored = events.iter().map(|(event, _)| event).filter(|event| all.contains(&event.id));
            let expected: BTreeSet<EventId> =
                stored.filter(|event| filter.matches(event)).map(|event| event.id).collect();
            prop_assert_eq!(found, expected, "{:?}", filter);
        }
    }

    #[test]
    fn every_query_is_valid_syntax_for_the_index(text in prop_oneof!["[\"'*^:(){}+~ANDORTe -]{1,30}", "\\PC{1,30}", any::<String>()]) {
        if let Ok(parsed) = Search::parse(&text) {
            let store = store();
            store.insert(NOW, &signed_by(&keys(0), 1, 1, &[], &text)).unwrap();
            store.extend_index(NOW, 10).unwrap();
            let found = search(&store, &Filter::new().search(parsed.clone()));
            let event = signed_by(&keys(0), 1, 1, &[], &text);
            prop_assert_eq!(found.len(), usize::from(Filter::new().search(parsed).matches(&event)));
        }
    }
}

#[test]
fn the_best_come_first_and_the_limit_is_for_them() {
    let store = store();
    let events = [
        signed_by(&keys(0), 1, 30, &[], "somebody said something about a relay, and then something else"),
        signed_by(&keys(0), 1, 10, &[], "relay relay relay"),
        signed_by(&keys(0), 1, 20, &[], "a relay here"),
        signed_by(&keys(0), 1, 40, &[], "nothing"),
    ];
    for (number, event) in events.iter().enumerate() {
        store.insert(NOW, event).unwrap();
        if number == 1 {
            store.extend_index(NOW, 10).unwrap();
        }
    }
    let order = [&events[1], &events[2], &events[0]].map(|event| event.id);
    assert_eq!(search(&store, &query("relay")), order);
    assert_eq!(search(&store, &query("relay").limit(2)), order[..2]);
    assert_eq!(search(&store, &query("relay").limit(0)), []);
    let completeness = |filter: &Filter| search_as(&store, filter, &Viewer::everything()).completeness;
    assert_eq!(completeness(&query("relay")), Completeness::Finished);
    assert_eq!(completeness(&query("relay ").limit(3)), Completeness::Finished);
    assert_eq!(completeness(&query("relay").limit(2)), Completeness::Unknown);
}

#[test]
fn private_and_expired_events_are_hidden() {
    let store = store();
    let [ada, bob] = [0, 1].map(keys);
    let kind = 30_023;
    let to_bob = signed_by(&ada, kind, 1, &[&["p", &bob.public_key().to_hex()]], "a relay");
    let second = NOW.as_seconds().to_string();
    let expired = signed_by(&ada, 1, 2, &[&["expiration", &second]], "a relay");
    store.insert(NOW, &to_bob).unwrap();
    store.insert(NOW, &expired).unwrap();
    let private_kinds: OneOf<Kind> = [Kind(kind)].into_iter().collect();
    for indexed in [false, true] {
        if indexed {
            store.extend_index(NOW, 10).unwrap();
        }
        for (context, found) in [(None, 0), (Some(&ada), 1), (Some(&bob), 1), (Some(&keys(2)), 0)] {
            let pubkeys: BTreeSet<PublicKey> =
                context.map(openagents_host::Keys::public_key).into_iter().collect();
            let viewer = Viewer { private_kinds: &private_kinds, pubkeys: &pubkeys };
            assert_eq!(search_as(&store, &query("relay"), &viewer).events.len(), found);
        }
    }
}

#[test]
fn a_thousand_events_take_a_few_index_rows() {
    let store = store();
    for number in 0..1_000_u64 {
        let content = format!("event number {number} of a relay with nine other words");
        store.insert(NOW, &signed_by(&keys(0), 1, number, &[], &content)).unwrap();
    }
    assert!(store.is_index_behind(NOW).unwrap());
    while store.extend_index(NOW, 250).unwrap() {}
    assert!(!store.is_index_behind(NOW).unwrap());
    let rows = |table: &str| -> u64 {
        store
            .sql()
            .first(&format!("SELECT count(*) FROM {table}"), &[])
            .unwrap()
            .map_or(0, |(rows,): (u64,)| rows)
    };
    let rows = rows("search_index_data") + rows("search_index_idx") + rows("search_late");
    assert!(rows < 100, "{rows}");
    assert_eq!(search(&store, &query("\"number 7\"")).len(), 1);
}

#[test]
fn late_events_are_found_before_and_after_indexing() {
    let store = store();
    let [new, old] = [100, 1].map(|second| signed_by(&keys(0), 1, second, &[], "a relay"));
    store.insert(NOW, &new).unwrap();
    store.extend_index(NOW, 10).unwrap();
    store.insert(NOW, &old).unwrap();
    assert_eq!(search(&store, &query("relay")).len(), 2);
    store.extend_index(NOW, 10).unwrap();
    let late: Option<(u64,)> = store.sql().first("SELECT count(*) FROM search_late", values![]).unwrap();
    assert_eq!((late, search(&store, &query("relay")).len()), (Some((0,)), 2));
}

#[test]
fn only_the_newest_of_very_many_are_compared() {
    let store = store();
    for second in 0..1_200_u64 {
        store.insert(NOW, &signed_by(&keys(0), 1, second, &[], "a relay")).unwrap();
    }
    while store.extend_index(NOW, 500).unwrap() {}
    let found = store
        .search(
            NOW,
            &query("relay"),
            &Search::parse("relay").unwrap(),
            &Limits::default().for_internal_queries(),
            &Viewer::everything(),
        )
        .unwrap();
    assert_eq!((found.events.len(), found.completeness), (MAX_MATCHES, Completeness::Unknown));
}

#[test]
fn an_index_of_mostly_removed_events_is_rebuilt() {
    let store = store();
    for second in 0..40_u64 {
        store.insert(NOW, &signed_by(&keys(0), 0, second, &[], r#"{"name":"relay"}"#)).unwrap();
        store.extend_index(NOW, 10).unwrap();
    }
    let progress =
        || store.sql().first::<(u64, u64)>("SELECT seq, entries FROM search_progress", &[]).unwrap().unwrap();
    assert_eq!(progress().1, 40);
    // As if many thousands of events had been stored and removed.
    store
        .sql()
        .execute(
            "UPDATE search_progress SET entries = ?",
            values![crate::store::search_index::REBUILD_CHECK_INTERVAL - 1],
        )
        .unwrap();
    store.insert(NOW, &signed_by(&keys(1), 0, 50, &[], r#"{"name":"relay"}"#)).unwrap();
    assert!(store.extend_index(NOW, 10).unwrap(), "there is more to do");
    assert_eq!(progress(), (0, 0));
    assert_eq!(search(&store, &query("relay")).len(), 2, "what is not in the index is found all the same");
    assert!(!store.extend_index(NOW, 10).unwrap());
    let found: Vec<(u64,)> =
        store.sql().rows("SELECT rowid FROM search_index WHERE search_index MATCH 'relay'", &[]).unwrap();
    assert_eq!((found.len(), progress().1), (2, 2));
    assert_eq!(search(&store, &query("relay")).len(), 2);
}
