//! Filters that find few events: which statements they take, and that answers are the same on both sides of each
//! bound.

use std::cell::RefCell;
use std::collections::BTreeMap;

use openagents_host::native::Sqlite;
use openagents_host::sql::{Sql, SqlError};
use openagents_host::{EventId, Kind, Timestamp};
use proptest::prelude::*;

use super::model::{Reader as ModelReader, StoreModel};
use super::{NOW, find, insert_all, noting, store};
use crate::fixtures::{self, keys, signed, signed_by};
use crate::limits::Limits;
use crate::store::read::driver::{Driver, MAX_PROBED_ROWS};
use crate::store::read::plan::ROWS_NOT_WORTH_COUNTING;
use crate::store::read::query::is_in_order;
use crate::store::read::select::{QueryContext, Select};
use crate::store::read::small_result::MAX_SMALL_RESULT;
use crate::store::{Store, Viewer};
use openagents_host::nostr::filter::{Filter, OneOf};
use openagents_host::nostr::message::Completeness;
use openagents_host::nostr::tag::TagName;

const E: Driver = Driver::Tag(TagName::new("e").unwrap());

fn filter(json: &str) -> Filter {
    let id = |byte: u8| EventId::from_bytes([byte; 32]).to_hex();
    Filter::from_json(&json.replace("ID1", &id(1)).replace("ID2", &id(2)).replace("ID3", &id(3))).unwrap()
}

fn context<'a>(viewer: &'a Viewer<'a>) -> QueryContext<'a> {
    QueryContext { now: NOW, viewer }
}

/// `to_first` replies to one event (`ID1`), three to another one (`ID2`), one to both, one per second. All are
/// addressed to one person (`ID3`).
fn answered(times: u64) -> Store<Sqlite> {
    let store = store();
    let [one, two, person] = [1, 2, 3].map(|byte| EventId::from_bytes([byte; 32]).to_hex());
    let (one, two, person) = (["e", one.as_str()], ["e", two.as_str()], ["p", person.as_str()]);
    let events: Vec<_> = (0..times)
        .map(|second| signed(1, second, &[&one, &person]))
        .chain((0..3).map(|second| signed(1, second + 1_000, &[&two, &person])))
        .chain([signed(1, 500, &[&one, &two, &person])])
        .collect();
    insert_all(&store, &events);
    store
}

#[test]
fn few_events_take_one_statement() {
    let store = answered(100);
    let (noting, plans) = noting(&store);
    for (json, found, expected) in [
        (r##"{"#e":["ID2"],"#p":["ID3"]}"##, 4, 1),
        (r##"{"#e":["ID2","ID3"],"kinds":[1,7]}"##, 4, 1),
        (r##"{"#e":["ID3"],"authors":["ID1"]}"##, 0, 1),
        (r#"{"ids":["ID1","ID2"]}"#, 0, 1),
        (r#"{"authors":["ID1","ID2"],"kinds":[0,3,10002]}"#, 0, 1),
        // One statement finds that there are too many, one counts the rows of the other condition, one reads the
        // newest.
        (r##"{"#e":["ID1"],"#p":["ID3"]}"##, 101, 3),
        (r##"{"#e":["ID2"],"#p":["ID3"],"limit":3}"##, 3, 3),
    ] {
        let mut events = 0;
        let each = &mut |_| events += 1;
        noting.query(NOW, &[filter(json)], &Limits::default(), &Viewer::everything(), each).unwrap();
        assert_eq!((events, plans.take().len()), (found, expected), "{json}");
    }
}

#[test]
fn an_event_with_two_of_the_values_comes_once_and_in_its_place() {
    let store = answered(10);
    let (found, completeness) = find(&store, &[filter(r##"{"#e":["ID1","ID2"]}"##)], &Limits::default());
    let seconds: Vec<u64> =
        found.iter().map(|json| openagents_host::Event::from_json(json).unwrap().created_at).collect();
    assert_eq!(seconds, [1_002, 1_001, 1_000, 500, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(completeness, Completeness::Finished);
}

#[test]
fn what_turns_out_to_be_much_is_counted_and_not_read() {
    let (store, viewer) = (answered(600), Viewer::everything());
    for json in [r##"{"#e":["ID1"],"#p":["ID3"]}"##, r##"{"#e":["ID2","ID1"],"#p":["ID2"]}"##] {
        let filter = filter(json);
        // Less than a thousand steps of the database, which is the unit they are counted in.
        let rows = |at_most: u64| {
            let select = Select::all_json_up_to(E, &filter, &context(&viewer), at_most);
            let read = || store.sql().rows::<(Option<u64>, Option<String>)>(select.text(), &select.values());
            store.sql().limited(0, read)
        };
        assert_eq!(rows(20), Ok(vec![(None, None)]), "{json}");
        assert_eq!(rows(1_000), Err(SqlError::Interrupted), "{json}");
    }
}

#[test]
fn few_rows_need_neither_sorting_nor_a_table_of_their_own() {
    let (store, pubkeys) = (store(), [keys(0).public_key()].into());
    let private_kinds = [Kind(4), Kind(1059)].into_iter().collect();
    let viewer = Viewer { private_kinds: &private_kinds, pubkeys: &pubkeys };
    let tag = "SEARCH t USING PRIMARY KEY (key=? AND seq>? AND seq<?)";
    for (json, driver, expected) in [
        (r##"{"#e":["ID1"],"#p":["ID1"]}"##, E, tag),
        (r##"{"#e":["ID1","ID2","ID3"],"#p":["ID1"],"kinds":[1,2]}"##, E, tag),
        (
            r#"{"ids":["ID1","ID2"]}"#,
            Driver::Ids,
            "SEARCH e USING INDEX event_by_id (id=? AND rowid>? AND rowid<?)",
        ),
        (
            r#"{"authors":["ID1","ID2"],"kinds":[0,3]}"#,
            Driver::Authors,
            "SEARCH e USING INDEX event_by_author (pubkey=? AND kind=? AND rowid>? AND rowid<?)",
        ),
    ] {
        let filter = filter(json);
        let mut selects = vec![Select::all_json(driver, &filter, &context(&viewer))];
        if driver == E {
            selects.push(Select::all_json_up_to(driver, &filter, &context(&viewer), 5));
        }
        for select in selects {
            let plan = super::plans::plan(&store, &select);
            assert!(plan.contains(expected), "{json}: {plan}");
            for costly in ["TEMP B-TREE", "AUTOMATIC", "MATERIALIZE", "LIST SUBQUERY", "SCAN e"] {
                assert!(!plan.contains(costly), "{costly} for {json}: {plan}");
            }
        }
    }
}

#[test]
fn other_conditions_are_not_counted_where_the_first_has_few_rows() {
    let (store, viewer) = (answered(ROWS_NOT_WORTH_COUNTING), Viewer::everything());
    let p = Driver::Tag(TagName::new("p").unwrap());
    for (id, counted) in [("ID2", vec![Some(4), None]), ("ID1", vec![Some(33), Some(36)])] {
        let filter = filter(&format!(r##"{{"#e":["{id}"],"#p":["ID3"]}}"##));
        let probe = Select::probe(E, &[p], &filter, &context(&viewer));
        let rows: Vec<(Option<u64>, Option<u64>)> = store.sql().rows(probe.text(), &probe.values()).unwrap();
        assert_eq!(rows.iter().flat_map(|row| [row.0, row.1]).collect::<Vec<_>>(), counted, "{id}");
    }
}

#[test]
fn no_statement_binds_more_than_a_durable_object_takes() {
    let store = store();
    let letters = ('a'..='z').chain('A'..='Z').filter(|letter| *letter != 'e');
    let filter = (1..=32).fold(String::new(), |ids, byte| {
        format!(
            "{ids}{}\"{}\"",
            if ids.is_empty() { "" } else { "," },
            EventId::from_bytes([byte; 32]).to_hex()
        )
    });
    let others: String = letters.map(|letter| format!(r##","#{letter}":[{filter}]"##)).collect();
    let late = (1_u64 << 33) + 5;
    let json = format!(
        r##"{{"#e":[{filter}],"authors":["ID1","ID2","ID3"],"kinds":[1,2,3,4,5,6,7,8,9,10],"since":{late}{others}}}"##
    );
    let pubkeys = (0..3).map(|number| keys(number).public_key()).collect();
    let private_kinds = (1..20).map(Kind).collect();
    let viewer = Viewer { private_kinds: &private_kinds, pubkeys: &pubkeys };
    let filter = self::filter(&json);
    for select in [
        Select::all_json_up_to(E, &filter, &context(&viewer), 64),
        Select::all_json(E, &filter, &context(&viewer)),
        Select::sorted_json(E, &filter, &context(&viewer), 64),
    ] {
        assert!(select.values().len() <= 100, "{}", select.values().len());
        store.sql().execute(select.text(), &select.values()).unwrap();
    }
    store.query(NOW, &[filter], &Limits::default(), &viewer, &mut |_| {}).unwrap();
}

#[test]
fn of_replaceable_kinds_there_is_one_event_of_each_author() {
    let store = store();
    for second in 0..3 {
        for (author, kind) in [(0, 0), (0, 3), (1, 0), (2, 10_002)] {
            store.insert(NOW, &signed_by(&keys(author), kind, second, &[], "")).unwrap();
        }
    }
    let viewer = Viewer::everything();
    let authors = || (0..3).map(|number| keys(number).public_key());
    for (kinds, rows) in [(&[0, 3, 10_002][..], Some(9)), (&[0, 1], None), (&[30_023], None)] {
        let filter = Filter::new().authors(authors()).kinds(kinds.iter().copied());
        assert_eq!(store.plan(&filter, &context(&viewer)).unwrap().rows, rows, "{kinds:?}");
    }
    let filter = Filter::new().authors(authors()).kinds([0, 3, 10_002]);
    assert_eq!(find(&store, &[filter], &Limits::default()).0.len(), 4);
}

/// How often the queries below took each path.
#[derive(Debug, Default)]
struct PathCounts {
    seen: BTreeMap<&'static str, u64>,
}

impl PathCounts {
    fn note(&mut self, way: &'static str) {
        *self.seen.entry(way).or_default() += 1;
    }
}

#[test]
fn the_answer_is_the_same_on_both_sides_of_each_bound() {
    let (store, mut model) = (store(), StoreModel::default());
    let (mut ids, asked_at) = (Vec::new(), 9);
    for event in fixtures::pool()[..1_200].iter() {
        model.publish(6, event, false);
        store.insert(Timestamp::from_seconds(6), event).unwrap();
        ids.push(event.id);
    }
    // Some name events, by their ids or by what they reply to.
    let answered =
        prop::collection::btree_set((0..3_usize).prop_map(|key| keys(key).public_key().to_hex()), 1..4);
    let named = prop_oneof![
        2 => prop::collection::vec(prop::sample::select(ids), 1..100)
            .prop_map(|ids| Filter::new().ids(ids)),
        4 => answered.prop_map(|answered| Filter::new().tag('e', answered).unwrap()),
        4 => Just(Filter::new()),
    ];
    let case = (
        (fixtures::filter(), named).prop_map(|(filter, named)| Filter {
            ids: named.ids.or(filter.ids),
            tags: filter.tags.into_iter().chain(named.tags).collect(),
            ..filter
        }),
        prop_oneof![Just(500_u64), 1..150_u64, 1..40_u64],
        prop_oneof![3 => Just(1 << 22), 1 => 0..20_000_usize],
        fixtures::reader(),
        any::<bool>(),
    );
    let paths = RefCell::new(PathCounts::default());
    fixtures::try_many(
        "few events against a model",
        1_000,
        &case,
        |(filter, limit, longest, pubkeys, private)| {
            let filter = Filter { limit: Some(limit), ..filter };
            let limits = Limits { max_answer_length: longest, ..Limits::default() };
            let kinds = if private { vec![4, 1_059] } else { Vec::new() };
            let private_kinds: OneOf<_> = kinds.iter().copied().map(Kind).collect();
            let viewer = Viewer { private_kinds: &private_kinds, pubkeys: &pubkeys };
            let now = Timestamp::from_seconds(asked_at);
            let mut found = Vec::new();
            let each = &mut |json: std::sync::Arc<str>| found.push(json.to_string());
            let completeness =
                store.query(now, std::slice::from_ref(&filter), &limits, &viewer, each).unwrap();
            let model_reader = ModelReader { private_kinds: kinds, pubkeys: pubkeys.clone() };
            let expected = model.answer(asked_at, std::slice::from_ref(&filter), &limits, &model_reader);
            prop_assert_eq!((&found, completeness), (&expected.0, expected.1), "{:?}", &filter);

            if filter.matches_nothing() {
                return Ok(());
            }
            let mut paths = paths.borrow_mut();
            let context = QueryContext { now, viewer: &viewer };
            if Driver::probably_rare(&filter).is_some() {
                let way = match store.small_result_if_rare(&filter, &context, limit, longest).unwrap() {
                    Some(_) => "tried, and few",
                    None if longest < 20_000 => "tried, and many or long",
                    None if limit < MAX_SMALL_RESULT => "tried, and more than the limit",
                    None => "tried, and more than are read at once",
                };
                paths.note(way);
                return Ok(());
            }
            let plan = store.plan(&filter, &context).unwrap();
            paths.note(match plan.rows {
                None => "many rows",
                Some(rows) if rows <= ROWS_NOT_WORTH_COUNTING => "fewer rows than are compared",
                Some(_) => "few rows",
            });
            if !is_in_order(plan.driver, &filter) && plan.rows.is_some_and(|rows| rows < MAX_PROBED_ROWS) {
                paths.note(match store.small_result(plan, &filter, &context, limit, longest).unwrap() {
                    Some(_) => "read at once",
                    None if longest < 20_000 => "many or long",
                    None if plan.rows.is_some_and(|rows| rows <= MAX_SMALL_RESULT) => "more than the limit",
                    None => "more than are read at once",
                });
            }
            Ok(())
        },
    );
    let PathCounts { seen } = paths.into_inner();
    for way in [
        "tried, and few",
        "tried, and many or long",
        "tried, and more than the limit",
        "tried, and more than are read at once",
        "many rows",
        "fewer rows than are compared",
        "few rows",
        "read at once",
        "many or long",
        "more than the limit",
        "more than are read at once",
    ] {
        assert!(seen.get(way).is_some_and(|times| *times >= 3), "{way}: {seen:?}");
    }
}
