//! Tests of integrity check, export and statistics.

use openagents_host::Kind;
use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;

use super::{NOW, insert_all, store};
use crate::fixtures;
use crate::store::{Inconsistency, IntegrityProgress, Store};

pub(super) fn inconsistencies(store: &Store<Sqlite>) -> Vec<Inconsistency> {
    let mut progress = IntegrityProgress::default();
    let mut found = Vec::new();
    while !progress.is_done() {
        found.append(&mut store.check(&mut progress, 7).unwrap());
    }
    found
}

#[test]
fn finds_every_kind_of_inconsistency() {
    let events = [
        fixtures::signed(1, 1, &[&["t", "a"], &["expiration", "5000"]]),
        fixtures::signed(30_023, 2, &[&["d", "x"], &["t", "b"]]),
        fixtures::signed(1, 3, &[&["t", "c"], &["t", "d"]]),
    ];
    let (author, id) = (events[0].pubkey.to_hex(), events[0].id.to_hex());
    for (damage, expected) in [
        ("SELECT 1", "[]"),
        ("UPDATE event SET json = '{' WHERE created_at = 3", "[Unreadable(C), TagsTooMany(2)]"),
        ("UPDATE event SET created_at = 4 WHERE created_at = 3", "[Columns(C), TagsTooMany(2)]"),
        ("UPDATE event SET expires_at = 5001 WHERE created_at = 1", "[Columns(A), TagsTooMany(1)]"),
        ("UPDATE event SET expires_at = 4999 WHERE created_at = 1", "[]"),
        ("UPDATE event SET expires_at = NULL WHERE created_at = 1", "[Columns(A), TagsTooMany(1)]"),
        ("DELETE FROM tag WHERE key = CAST('tc' AS BLOB)", "[TagMissing(C)]"),
        ("UPDATE tag SET kind = 7 WHERE key = CAST('tb' AS BLOB)", "[TagMissing(B)]"),
        ("INSERT INTO tag VALUES (x'00', 5, 1)", "[TagsTooMany(1)]"),
        ("DELETE FROM event WHERE created_at = 3", "[TagsTooMany(2)]"),
        (&format!("INSERT INTO deleted VALUES (x'{id}', x'{author}')"), "[Forbidden(A)]"),
        (&format!("INSERT INTO deleted_address VALUES (x'{author}', 30023, 'x', 2)"), "[Forbidden(B)]"),
        (&format!("INSERT INTO deleted_address VALUES (x'{author}', 30023, 'x', 1)"), "[]"),
        (&format!("INSERT INTO vanished VALUES (x'{author}', 2, x'00')"), "[Forbidden(A), Forbidden(B)]"),
    ] {
        let store = store();
        insert_all(&store, &events);
        store.sql().execute(damage, &[]).unwrap();
        let row_keys: Vec<(u64,)> = store.sql().rows("SELECT seq FROM event ORDER BY seq", &[]).unwrap();
        let mut found = format!("{:?}", inconsistencies(&store));
        for ((row_key,), letter) in row_keys.into_iter().zip(["A", "B", "C"]) {
            found = found.replace(&row_key.to_string(), letter);
        }
        assert_eq!(found, expected, "{damage}");
    }
}

#[test]
fn a_deletion_request_with_a_retention_time_is_an_inconsistency() {
    let store = store();
    let requests = [5, 62].map(|kind| fixtures::signed(kind, 1, &[]));
    insert_all(&store, &requests);
    assert_eq!(inconsistencies(&store), []);
    store.sql().batch("UPDATE event SET expires_at = 4000").unwrap();
    assert!(matches!(inconsistencies(&store)[..], [Inconsistency::Columns(_), Inconsistency::Columns(_)]));
}

#[test]
fn exports_all_events_page_by_page_the_oldest_first() {
    let store = store();
    let mut events: Vec<_> =
        (0..10).map(|number| fixtures::signed(1, number % 4, &[&["n", &number.to_string()]])).collect();
    insert_all(&store, &events);
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let page = store.export(after, 3).unwrap();
        let Some((last, _)) = page.last() else { break };
        after = *last;
        found.extend(page.into_iter().map(|(_, json)| json));
    }
    events.sort_by_key(|event| (event.created_at, std::cmp::Reverse(event.id)));
    let expected: Vec<_> = events.iter().map(|event| event.json().clone()).collect();
    assert_eq!(found, expected);
}

#[test]
fn says_how_much_is_stored() {
    let store = store();
    assert_eq!(store.statistics(3).unwrap(), crate::store::StoreStatistics::default());
    let events = [
        fixtures::signed(1, 5, &[&["t", "a"], &["expiration", "5000"]]),
        fixtures::signed(1, 9, &[&["t", "b"], &["long", "c"]]),
        fixtures::signed(7, 7, &[]),
    ];
    insert_all(&store, &events);
    let deletion = fixtures::signed(5, 8, &[&["e", &events[2].id.to_hex()]]);
    store.insert(NOW, &deletion).unwrap();
    let statistics = store.statistics(1).unwrap();
    assert_eq!((statistics.events, statistics.tags, statistics.expiring), (3, 3, 1));
    assert_eq!(statistics.kinds, [(Kind(1), 2)]);
    assert_eq!((statistics.oldest, statistics.newest), (Some(5), Some(9)));
    assert_eq!((statistics.deleted, statistics.vanished), (1, 0));
    let length = [&events[0], &events[1], &deletion].map(|event| event.json().len() as u64);
    assert_eq!(statistics.bytes, length.iter().sum::<u64>());
}
