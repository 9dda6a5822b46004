//! Hostile queries: each condition matches many events, but no event matches both, so the rows of one condition are
//! all examined in vain.

use std::ops::ControlFlow;

use openagents_host::native::Sqlite;
use openagents_host::sql::{Row, Sql, SqlError, values};

use super::{NOW, scanned, store};
use crate::limits::Limits;
use crate::store::row_key::RowKey;
use crate::store::{Coverage, Scan, Store, Viewer};
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::Completeness;
use openagents_host::nostr::tag::{TagKey, TagName};

/// This many events, one per second, by a thousand authors. All have the tag `#t` `hot`; half of them have `#x` `a`,
/// the other half `#n` `b`.
fn with_events(events: u64) -> Store<Sqlite> {
    let store = store();
    let second = RowKey::first(1).seq() - RowKey::first(0).seq();
    store
        .sql()
        .execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
             INSERT INTO event (seq, id, pubkey, created_at, kind, json)
             SELECT i * CAST(? AS INTEGER), randomblob(32), unhex(printf('%064x', i % 1000)), i, 1 + i % 2,
                 '{\"id\":\"' || printf('%0600d', i) || '\"}' FROM n",
            values![events, second],
        )
        .unwrap();
    let key = |name, value| TagKey::new(TagName::new(name).unwrap(), value);
    for (key, condition) in
        [(key("t", "hot"), "true"), (key("x", "a"), "kind = 1"), (key("n", "b"), "kind = 2")]
    {
        let insert =
            format!("INSERT INTO tag (key, seq, kind) SELECT ?, seq, kind FROM event WHERE {condition}");
        store.sql().execute(&insert, values![key.as_bytes()]).unwrap();
    }
    store
}

fn filter(json: &str) -> Filter {
    let many = (0..1_000).map(|number| format!(r#""{number}""#)).collect::<Vec<_>>().join(",");
    Filter::from_json(&json.replace("MANY", &many)).unwrap()
}

/// How many events a scan finds, whatever its slices, and whether these are only some.
fn count(store: &Store<Sqlite>, filters: &[&str], look_ups: u64) -> (u64, bool) {
    let filters: Vec<Filter> = filters.iter().map(|json| filter(json)).collect();
    let [whole, others @ ..] = [u64::MAX, 7, 100, 1_100].map(|slice| {
        let (found, coverage) = scanned(store, NOW, &filters, &Viewer::everything(), [look_ups, slice]);
        (found.len() as u64, coverage == Coverage::Part)
    });
    assert!(others.iter().all(|other| *other == whole), "{filters:?}: {whole:?} {others:?}");
    whole
}

#[test]
fn a_count_looks_up_no_more_than_it_may() {
    let store = with_events(1_000);
    for (filters, needed, found) in [
        (&[r##"{"#t":["hot"]}"##][..], 1_000, 1_000),
        (&[r#"{"kinds":[1]}"#], 500, 500),
        (&["{}"], 1_000, 1_000),
        // One row and the value it is compared with.
        (&[r##"{"#x":["a"],"#n":["b"]}"##], 1_000, 0),
        // One row and the thousand and one values it is compared with.
        (&[r##"{"#x":["a"],"#n":["b",MANY]}"##], 501_000, 0),
        (&[r#"{"kinds":[1]}"#, r#"{"kinds":[2]}"#], 1_000, 1_000),
        (&[r##"{"#t":["hot"]}"##, r##"{"#x":["a"]}"##], 1_500, 1_000),
    ] {
        assert_eq!(count(&store, filters, needed), (found, false), "{filters:?}");
        let (counted, approximate) = count(&store, filters, needed - 1);
        assert!(approximate && counted <= found, "{filters:?}: {counted}");
    }
    for filter in [r##"{"#t":["hot"]}"##, r#"{"kinds":[1]}"#, r#"{"since":1}"#] {
        assert_eq!(count(&store, &[filter], 100), (100, true), "{filter}");
        assert_eq!(count(&store, &[filter, "{}"], 100), (100, true), "{filter}");
    }
}

#[test]
fn an_author_s_events_of_other_times_are_looked_at_as_well() {
    let store = with_events(2_000);
    let author = format!("{:064x}", 5);
    let filter = format!(r#"{{"authors":["{author}"],"since":1000}}"#);
    assert_eq!(count(&store, &[&filter], 2), (1, false));
    let (counted, approximate) = count(&store, &[&filter], 1);
    assert!(approximate && counted <= 1);
}

/// A slice of a scan: how many rows were found in it, and whether it was the last.
fn slice(store: &Store<Sqlite>, scan: &mut Scan, slice: u64) -> Result<(u64, bool), SqlError> {
    let mut found = 0;
    let each = &mut |_: &Row<'_>| {
        found += 1;
        Ok(ControlFlow::Continue(()))
    };
    let coverage = store.scan(scan, NOW, &Viewer::everything(), slice, "e.seq", each)?;
    Ok((found, coverage.is_some()))
}

#[test]
fn a_slice_looks_up_about_as_much_as_it_may() {
    let store = with_events(1_000);
    for (json, weight, in_slice) in [
        ("{}", 1, 100),
        (r##"{"#t":["hot"]}"##, 1, 100),
        (r#"{"kinds":[1,2]}"#, 1, 100),
        (r##"{"#x":["a"],"#t":["hot"]}"##, 2, 50),
        // A single row takes more than a slice.
        (r##"{"#x":["a"],"#t":["hot",MANY]}"##, 1_002, 1),
    ] {
        let mut scan = Scan::new(&[filter(json)], NOW, &Viewer::everything(), 20_000);
        let mut slices = Vec::new();
        loop {
            let (found, is_last) = slice(&store, &mut scan, 100).unwrap();
            slices.push(found);
            if is_last {
                break;
            }
        }
        assert!(slices.iter().all(|found| *found <= in_slice), "{json}: {slices:?}");
        let rows = if json.contains("#x") { 500 } else { 1_000 };
        assert_eq!(slices.iter().sum::<u64>(), rows.min(20_000 / weight), "{json}: {slices:?}");
    }
}

#[test]
fn an_event_that_is_stored_between_two_slices_hides_no_other() {
    for json in ["{}", r##"{"#t":["hot"]}"##, r#"{"kinds":[1]}"#] {
        let store = with_events(100);
        let mut scan = Scan::new(&[filter(json)], NOW, &Viewer::everything(), 1_000);
        let expected = count(&store, &[json], 1_000).0;
        let (first, _) = slice(&store, &mut scan, 10).unwrap();
        // It comes before those that were examined.
        store.insert(NOW, &crate::fixtures::signed(1, 0, &[&["t", "hot"]])).unwrap();
        let (rest, is_last) = slice(&store, &mut scan, 1_000).unwrap();
        assert_eq!((first + rest, is_last), (expected, true), "{json}");
    }
}

#[test]
fn as_many_rows_as_may_be_looked_up_take_fewer_steps_than_are_allowed() {
    // Sixty steps for each, as 30 million for 500,000.
    const ROWS: u64 = 20_000;
    let store = with_events(ROWS);
    for json in ["{}", r##"{"#t":["hot"]}"##, r#"{"kinds":[1,2]}"#, r##"{"#x":["a"],"#n":["b"]}"##] {
        let mut scan = Scan::new(&[filter(json)], NOW, &Viewer::everything(), ROWS);
        let counted = store.sql().limited(u32::try_from(ROWS * 60 / 1_000).unwrap(), || {
            while !slice(&store, &mut scan, ROWS / 2)?.1 {}
            Ok::<_, SqlError>(())
        });
        assert_eq!(counted, Ok(()), "{json}");
    }
}

fn request(store: &Store<Sqlite>, json: &str, look_ups: u64) -> (Result<Completeness, SqlError>, usize) {
    let limits = Limits { max_look_ups: look_ups, ..Limits::default() };
    let mut found = 0;
    let answered = store.query(NOW, &[filter(json)], &limits, &Viewer::everything(), &mut |_| found += 1);
    (answered, found)
}

#[test]
fn a_request_for_a_tag_and_authors_looks_no_further_back_than_it_may() {
    let store = with_events(12_000);
    let key = TagKey::new(TagName::new("d").unwrap(), "a");
    let insert = "INSERT INTO tag (key, seq, kind) SELECT ?, seq, kind FROM event WHERE kind = 1";
    store.sql().execute(insert, values![key.as_bytes()]).unwrap();
    // None of them has an event of that kind.
    let authors: Vec<String> = (0..100).map(|number| format!("\"{:064x}\"", number * 2 + 1)).collect();
    let never = format!(r##"{{"#d":["a"],"authors":[{}]}}"##, authors.join(","));
    assert_eq!(request(&store, &never, 13_000), (Ok(Completeness::Finished), 0));
    assert_eq!(request(&store, &never, 3_000), (Ok(Completeness::Unknown), 0));
}

#[test]
fn a_request_for_a_tag_and_kinds_looks_no_further_back_than_it_may() {
    let store = with_events(12_000);
    // There are as many events of that kind, but none of them has the tag.
    let never = |look_ups| request(&store, r##"{"#x":["a"],"kinds":[2]}"##, look_ups);
    assert_eq!(never(250), (Ok(Completeness::Finished), 0));
    assert_eq!(never(200), (Ok(Completeness::Unknown), 0));
    let several = |look_ups| request(&store, r##"{"#x":["a","z"],"kinds":[2]}"##, look_ups);
    assert_eq!(several(250), (Ok(Completeness::Finished), 0));
    assert_eq!(several(200), (Err(SqlError::Interrupted), 0));
}

#[test]
fn a_request_looks_no_further_back_than_it_may_and_says_so() {
    let store = with_events(12_000);
    let both = r##"{"#t":["hot"],"#x":["a"],"limit":400}"##;
    assert_eq!(request(&store, both, 24_000), (Ok(Completeness::More), 400), "filled by the newest");
    let all = |look_ups| request(&store, r##"{"#t":["hot"],"#n":["c"]}"##, look_ups);
    assert_eq!(all(24_000), (Ok(Completeness::Finished), 0));
    // The rarer condition finds no rows, so no look-ups are needed.
    assert_eq!(all(2), (Ok(Completeness::Finished), 0));
    let never = |look_ups| request(&store, r##"{"#x":["a"],"#n":["b"]}"##, look_ups);
    assert_eq!(never(13_000), (Ok(Completeness::Finished), 0));
    assert_eq!(never(8_000), (Ok(Completeness::Unknown), 0));
    let several = |look_ups| request(&store, r##"{"#x":["a","z"],"#n":["b","y"]}"##, look_ups);
    assert_eq!(several(30_000), (Ok(Completeness::Finished), 0));
    assert_eq!(several(8_000), (Err(SqlError::Interrupted), 0));
    // A database that interrupts long statements itself needs no bound.
    let limited = store.sql().limited(1_000_000, || Ok::<_, SqlError>(several(8_000)));
    assert_eq!(limited.unwrap(), (Ok(Completeness::Finished), 0));
}
