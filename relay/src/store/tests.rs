//! Tests of the store: insertion, replacement, size limits.

#![allow(clippy::arithmetic_side_effects)]

mod bounds;
mod budget;
mod checks;
mod deletion;
mod differential;
mod hostile;
pub(crate) mod model;
mod plans;
mod small_result;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;

use openagents_host::native::Sqlite;
use openagents_host::sql::{NextRow, Row, Sql, SqlError, Value};
use openagents_host::{EventId, PublicKey, Timestamp, VerifiedEvent};

use super::{Coverage, Insertion, Scan, Store, Viewer};
use crate::fixtures;
use crate::limits::Limits;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::Completeness;

/// The time at which everything happens, where it does not matter.
const NOW: Timestamp = Timestamp::from_seconds(1_000);

fn store() -> Store<Sqlite> {
    Store::open(Sqlite::in_memory().unwrap()).unwrap()
}

fn insert_all(store: &Store<Sqlite>, events: &[VerifiedEvent]) {
    for event in events {
        store.insert(NOW, event).unwrap();
    }
}

fn find(store: &Store<Sqlite>, filters: &[Filter], limits: &Limits) -> (Vec<String>, Completeness) {
    let mut found = Vec::new();
    let completeness = store
        .query(NOW, filters, limits, &Viewer::everything(), &mut |json| found.push(json.to_string()))
        .unwrap();
    (found, completeness)
}

/// What a scan in slices finds, each event once, and whether that is all.
fn scanned<S: Sql>(
    store: &Store<S>,
    now: Timestamp,
    filters: &[Filter],
    viewer: &Viewer<'_>,
    [look_ups, slice]: [u64; 2],
) -> (BTreeSet<(EventId, PublicKey, u64)>, Coverage) {
    let mut scan = Scan::new(filters, now, viewer, look_ups);
    let (mut found, mut rows) = (BTreeSet::new(), 0);
    let finds_each_once = scan.finds_each_once();
    loop {
        let columns = "e.id, e.pubkey, e.created_at";
        let scanned = store.scan(&mut scan, now, viewer, slice, columns, &mut |row| {
            rows += 1;
            found.insert((row.column(0)?, row.column(1)?, row.column(2)?));
            Ok(ControlFlow::Continue(()))
        });
        if let Some(coverage) = scanned.unwrap() {
            assert!(!finds_each_once || rows == found.len());
            return (found, coverage);
        }
    }
}

#[test]
fn reports_the_result_for_each_version() {
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
        assert_eq!(store.insert(NOW, event).unwrap(), expected, "{}", event.json());
    }
}

#[test]
fn an_event_without_d_tag_and_one_with_an_empty_one_replace_each_other() {
    let store = store();
    store.insert(NOW, &fixtures::signed(30_000, 1, &[])).unwrap();
    assert_eq!(store.insert(NOW, &fixtures::signed(30_000, 2, &[&["d", ""]])).unwrap(), Insertion::Inserted);
    assert_eq!(find(&store, &[Filter::default()], &Limits::default()).0.len(), 1);
}

#[test]
fn an_answer_ends_where_it_would_get_too_long() {
    let store = store();
    let events = [1, 2, 3].map(|at| fixtures::signed(1, at, &[]));
    insert_all(&store, &events);
    let two = events[2].json().len() + events[1].json().len();
    for (max_answer_length, expected) in [(two, 2), (two - 1, 1), (0, 0)] {
        let limits = Limits { max_answer_length, ..Limits::default() };
        let (found, completeness) = find(&store, &[Filter::default()], &limits);
        assert_eq!((found.len(), completeness), (expected, Completeness::More));
        assert!(found.first().is_none_or(|newest| **newest == **events[2].json()));
    }
}

#[test]
fn stores_and_finds_the_largest_events_that_pass_the_limits() {
    let store = store();
    let many: Vec<Vec<String>> = (0..2_500).map(|n| vec!["t".to_owned(), n.to_string()]).collect();
    let event = openagents_host::UnsignedEvent::new(openagents_host::Kind(1), "\u{1}".repeat(128 * 1024))
        .tags(many)
        .sign(&fixtures::keys(0), Timestamp::from_seconds(openagents_host::nostr::MAX_CREATED_AT));
    assert_eq!(store.insert(NOW, &event).unwrap(), Insertion::Inserted);
    assert_eq!(store.insert(NOW, &event).unwrap(), Insertion::Duplicate);
    let filter = Filter::from_json(r##"{"#t":["2499","none"]}"##).unwrap();
    assert_eq!(find(&store, &[filter], &Limits::default()).0, [event.json().to_string()]);
}

#[test]
fn notes_when_an_event_expires() {
    let store = store();
    for (at, value) in
        [(1, "1700000000"), (2, "soon"), (3, "99999999999999999999"), (4, "18446744073709551615")]
    {
        store.insert(NOW, &fixtures::signed(1, at, &[&["expiration", value]])).unwrap();
    }
    let expiries: Vec<(Option<u64>,)> =
        store.sql().rows("SELECT expires_at FROM event ORDER BY seq", &[]).unwrap();
    assert_eq!(expiries, [(Some(1_700_000_000),), (None,), (None,), (None,)]);
}

#[test]
fn an_event_whose_tags_cannot_all_be_written_is_not_stored() {
    let store = store();
    let full = "CREATE TRIGGER full BEFORE INSERT ON tag WHEN (SELECT count(*) FROM tag) = 1
        BEGIN SELECT RAISE(FAIL, 'the disk is full'); END";
    store.sql().batch(full).unwrap();
    let event = fixtures::signed(1, 1, &[&["t", "a"], &["t", "b"]]);
    store.insert(NOW, &event).unwrap_err();
    assert!(!store.contains(&event.id).unwrap());
    assert_eq!(store.sql().first::<(u64,)>("SELECT count(*) FROM tag", &[]).unwrap(), Some((0,)));
    store.sql().batch("DROP TRIGGER full").unwrap();
    assert_eq!(store.insert(NOW, &event).unwrap(), Insertion::Inserted);
    assert_eq!(store.sql().first::<(u64,)>("SELECT count(*) FROM tag", &[]).unwrap(), Some((2,)));
}

/// A database that records the query plan of each statement.
#[derive(Clone)]
struct Noting {
    sql: Sqlite,
    plans: Plans,
}

type Plans = Rc<RefCell<Vec<Vec<String>>>>;

/// A store on a database that records query plans.
fn noting(store: &Store<Sqlite>) -> (Store<Noting>, Plans) {
    let plans = Plans::default();
    (Store::for_reading(Noting { sql: store.sql().clone(), plans: Rc::clone(&plans) }), plans)
}

impl Sql for Noting {
    fn query(
        &self,
        statement: &str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&Row<'_>) -> NextRow,
    ) -> Result<(), SqlError> {
        let plan = format!("EXPLAIN QUERY PLAN {statement}");
        let steps = self.sql.rows::<(i64, i64, i64, String)>(&plan, values)?;
        self.plans.borrow_mut().push(steps.into_iter().map(|(.., step)| step).collect());
        self.sql.query(statement, values, each)
    }

    fn batch(&self, statements: &str) -> Result<(), SqlError> {
        self.sql.batch(statements)
    }

    fn transaction<T, E: From<SqlError>>(&self, body: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.sql.transaction(body)
    }

    fn metered<T>(&self, body: impl FnOnce() -> T) -> (T, u64) {
        self.sql.metered(body)
    }
}
