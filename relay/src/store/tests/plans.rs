//! SQLite's query plan for each kind of filter, and how many rows it reads.

use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use openagents_host::{EventId, Kind, PublicKey, Timestamp};

use super::{scanned, store};
use crate::fixtures;
use crate::store::read::driver::Driver;
use crate::store::read::select::{MergeCursor, QueryContext, Select, lower};
use crate::store::statement::Statement;
use crate::store::{Store, Viewer};
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::tag::TagName;

fn filter(json: &str) -> Filter {
    let id = |byte: u8| EventId::from_bytes([byte; 32]).to_hex();
    Filter::from_json(&json.replace("ID1", &id(1)).replace("ID2", &id(2))).unwrap()
}

/// SQLite's plan, as one line.
pub(super) fn plan(store: &Store<Sqlite>, statement: &Statement) -> String {
    let text = format!("EXPLAIN QUERY PLAN {}", statement.text());
    let rows: Vec<(i64, i64, i64, String)> = store.sql().rows(&text, &statement.values()).unwrap();
    rows.into_iter().map(|row| row.3).collect::<Vec<_>>().join("; ")
}

fn context<'a>(viewer: &'a Viewer<'a>) -> QueryContext<'a> {
    QueryContext { now: Timestamp::from_seconds(1_000), viewer }
}

fn newest(driver: Driver, filter: &Filter, context: &QueryContext<'_>, limit: u64) -> Statement {
    Select::ordered("e.json", driver, filter, context, lower(filter), limit)
}

#[test]
fn an_answer_needs_no_sorting_where_the_condition_has_one_value() {
    let (store, viewer) = (store(), Viewer::everything());
    let tag = |name| Driver::Tag(TagName::new(name).unwrap());
    for (json, driver, expected) in [
        (
            r##"{"#e":["ID1"],"kinds":[1]}"##,
            tag("e"),
            "SEARCH t USING PRIMARY KEY (key=? AND seq>? AND seq<?)",
        ),
        (
            r##"{"#t":["a"],"#e":["ID1"]}"##,
            tag("t"),
            "SEARCH t USING PRIMARY KEY (key=? AND seq>? AND seq<?)",
        ),
        (
            r#"{"authors":["ID1"],"kinds":[1]}"#,
            Driver::Authors,
            "SEARCH e USING INDEX event_by_author (pubkey=? AND kind=? AND rowid>? AND rowid<?)",
        ),
        (
            r#"{"kinds":[1]}"#,
            Driver::Kinds,
            "SEARCH e USING INDEX event_by_kind (kind=? AND rowid>? AND rowid<?)",
        ),
        (r#"{"since":5}"#, Driver::Time, "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ] {
        let plan = plan(&store, &newest(driver, &filter(json), &context(&viewer), 500));
        assert!(plan.contains(expected), "{json}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{json}: {plan}");
    }
}

#[test]
fn each_of_several_values_is_read_in_order_and_no_further_than_needed() {
    let (store, viewer) = (store(), Viewer::everything());
    let cursors = [MergeCursor { value: String::new(), upper: 1 }];
    for (json, driver, expected) in [
        (
            r##"{"#e":["ID1","ID2"]}"##,
            Driver::Tag(TagName::new("e").unwrap()),
            "t USING PRIMARY KEY (key=? AND seq>? AND seq<?)",
        ),
        (
            r#"{"authors":["ID1","ID2"],"kinds":[1]}"#,
            Driver::Authors,
            "e USING INDEX event_by_author (pubkey=? AND kind=? AND rowid>? AND rowid<?)",
        ),
        (r#"{"kinds":[1,2]}"#, Driver::Kinds, "e USING INDEX event_by_kind (kind=? AND rowid>? AND rowid<?)"),
    ] {
        let filter = filter(json);
        let plan = plan(&store, &Select::cursors(driver, &filter, &context(&viewer), &cursors, 0, 5));
        assert!(plan.contains(expected) && !plan.contains("TEMP B-TREE"), "{json}: {plan}");
    }
    let filter = filter(r#"{"authors":["ID1"]}"#);
    let authors = filter.authors.clone().unwrap();
    let plan = plan(&store, &Select::cursors_of_authors(&filter, &authors, &context(&viewer), 0, 1, 5));
    assert!(plan.contains("event_by_author (pubkey=? AND kind=? AND rowid>? AND rowid<?)"), "{plan}");
    assert!(plan.contains("event_by_author (pubkey=? AND kind>?)"), "{plan}");
    assert!(!plan.contains("SCAN event") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn other_tags_and_addressees_are_looked_up_by_the_whole_key() {
    let (store, pubkeys) = (store(), [fixtures::keys(0).public_key()].into());
    let private_kinds = [Kind(4), Kind(1059)].into_iter().collect();
    let viewer = Viewer { private_kinds: &private_kinds, pubkeys: &pubkeys };
    let filter = filter(r##"{"#e":["ID1"],"#p":["ID1","ID2"]}"##);
    let plan = plan(&store, &newest(Driver::Tag(TagName::new("e").unwrap()), &filter, &context(&viewer), 1));
    // SQLite may turn EXISTS into a join, and then says so in the plan.
    let plan = plan.replace(" EXISTS", "");
    // Two values of a tag and one addressee.
    assert_eq!(plan.matches("SEARCH other USING PRIMARY KEY (key=? AND seq=?)").count(), 3, "{plan}");
}

#[test]
fn privacy_costs_nothing_where_the_filter_names_other_kinds() {
    let pubkeys = std::collections::BTreeSet::new();
    let private_kinds = [Kind(4), Kind(1059)].into_iter().collect();
    let viewer = Viewer { private_kinds: &private_kinds, pubkeys: &pubkeys };
    let text = |json: &str, viewer: &Viewer<'_>| {
        newest(Driver::Time, &filter(json), &context(viewer), 1).text().to_owned()
    };
    let (open, private) = (r#"{"kinds":[1,7000]}"#, r#"{"kinds":[1,1059]}"#);
    assert_eq!(text(open, &viewer), text(open, &Viewer::everything()));
    for json in [private, "{}"] {
        assert_ne!(text(json, &viewer), text(json, &Viewer::everything()));
    }
}

/// A hundred notes of each of three authors about the same topic; ten of them about the same thing; and one rare kind.
fn with_events() -> Store<Sqlite> {
    let store = store();
    for number in 0..300_usize {
        let (author, at) = (fixtures::keys(number % 3), (number / 2) as u64);
        let number_text = number.to_string();
        let rare = if number % 30 == 0 { "i" } else { "x" };
        let tags: [&[&str]; 3] = [&["t", "hot"], &["n", &number_text], &[rare, "rare"]];
        let event = fixtures::signed_by(&author, if number == 150 { 7 } else { 1 }, at, &tags, "");
        store.insert(super::NOW, &event).unwrap();
    }
    store
}

#[test]
fn the_rarest_condition_drives() {
    let store = with_events();
    let viewer = Viewer::everything();
    let tag = |name| Driver::Tag(TagName::new(name).unwrap());
    let author = fixtures::keys(0).public_key().to_hex();
    let nobody = PublicKey::from_bytes([7; 32]).to_hex();
    for (json, expected) in [
        (r##"{"ids":["ID1"],"#t":["hot"],"kinds":[1]}"##.to_owned(), Driver::Ids),
        (r##"{"#t":["hot"],"#n":["5"]}"##.to_owned(), tag("n")),
        (r##"{"#t":["hot"],"#i":["rare"],"kinds":[1]}"##.to_owned(), tag("i")),
        (r##"{"#t":["hot"],"kinds":[7]}"##.to_owned(), Driver::Kinds),
        (r##"{"#n":["5"],"kinds":[1]}"##.to_owned(), tag("n")),
        (r##"{"#e":["ID1"],"kinds":[7]}"##.to_owned(), tag("e")),
        (format!(r##"{{"#t":["hot"],"authors":["{author}"]}}"##), Driver::Authors),
        (format!(r##"{{"#n":["5"],"authors":["{author}"],"kinds":[1]}}"##), tag("n")),
        (format!(r##"{{"#t":["hot"],"#n":["5"],"authors":["{nobody}"]}}"##), Driver::Authors),
        (format!(r#"{{"authors":["{author}"],"kinds":[7]}}"#), Driver::Authors),
        (r#"{"since":5}"#.to_owned(), Driver::Time),
    ] {
        assert_eq!(store.driver(&filter(&json), &context(&viewer)).unwrap(), expected, "{json}");
    }
}

#[test]
fn a_time_that_no_host_can_store_is_taken_for_the_last_one() {
    let (store, viewer) = (store(), Viewer::everything());
    let filter = Filter { since: Some(u64::MAX), until: Some(u64::MAX), ..Filter::default() };
    let select = newest(Driver::Time, &filter, &context(&viewer), 1);
    store.sql().execute(select.text(), &select.values()).unwrap();
}

#[test]
fn long_lists_are_one_value_each() {
    let (store, viewer) = (store(), Viewer::everything());
    let many = |n: u16| (0..n).map(|n| PublicKey::from_bytes([n.to_be_bytes()[1]; 32]));
    let filter = Filter::new().authors(many(256)).kinds(0..5_000);
    let select = Select::sorted(Driver::Authors, &filter, &context(&viewer), 1);
    assert!(select.values().len() < 10);
    store.sql().execute(select.text(), &select.values()).unwrap();
    scanned(&store, super::NOW, std::slice::from_ref(&filter), &viewer, [1_000, 10]);
    store.query(super::NOW, &[filter], &crate::limits::Limits::default(), &viewer, &mut |_| {}).unwrap();
}
