//! No statement or batch exceeds the limits of a Durable Object, however many or large the events are.

use std::collections::BTreeSet;

use openagents_host::native::Sqlite;
use openagents_host::sql::{Sql, values};
use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};

use super::{NOW, find, insert_all, noting, scanned, store};
use crate::fixtures::{keys, signed, signed_by};
use crate::limits::Limits;
use crate::store::{Coverage, Store, Viewer};
use openagents_host::nostr::filter::Filter;

const LATER: Timestamp = Timestamp::from_seconds(10_000);

fn event(author: &Keys, second: u64, content: &str, tags: Vec<Vec<String>>) -> VerifiedEvent {
    UnsignedEvent::new(Kind(1), content).tags(tags).sign(author, Timestamp::from_seconds(second))
}

/// Six events of one mebibyte each, which expire.
fn large() -> Vec<VerifiedEvent> {
    let content = "a ".repeat(512 * 1024);
    let tags = || vec![vec!["expiration".to_owned(), "2000".to_owned()]];
    (0..6).map(|second| event(&keys(0), second, &content, tags())).collect()
}

fn stored(store: &Store<Sqlite>) -> u64 {
    store.statistics(1).unwrap().events
}

#[test]
fn events_with_more_tags_than_a_value_holds_are_removed() {
    let store = store();
    let tag = |number: usize| vec!["t".to_owned(), format!("{number:0200}")];
    let expiration = || vec!["expiration".to_owned(), "2000".to_owned()];
    let tags = || (0..2_500).map(tag).chain([expiration()]).collect();
    let events: Vec<_> = (0..4).map(|second| event(&keys(0), second, "", tags())).collect();
    insert_all(&store, &events);
    assert_eq!(store.remove_expired(LATER, 500).unwrap(), 4);
    assert_eq!((stored(&store), store.statistics(1).unwrap().tags), (0, 0));
}

#[test]
fn expired_events_are_removed_a_few_megabytes_at_a_time() {
    let store = store();
    insert_all(&store, &large());
    assert_eq!([(); 3].map(|()| store.remove_expired(LATER, 500).unwrap()), [4, 2, 0]);
}

#[test]
fn events_of_a_banned_author_are_removed_a_few_megabytes_at_a_time() {
    let store = store();
    insert_all(&store, &large());
    store.begin_purge(&keys(0).public_key()).unwrap();
    assert!(store.purge(500).unwrap());
    assert_eq!(stored(&store), 2);
    while store.purge(500).unwrap() {}
    assert_eq!(stored(&store), 0);
}

#[test]
fn events_are_taken_into_the_index_a_few_megabytes_at_a_time() {
    let store = store();
    insert_all(&store, &large());
    let mark = || store.sql().first::<(u64,)>("SELECT seq FROM search_progress", &[]).unwrap().unwrap().0;
    let behind = || {
        let count = "SELECT count(*) FROM event WHERE seq > ?";
        store.sql().first::<(u64,)>(count, values![mark()]).unwrap().unwrap().0
    };
    assert!(store.extend_index(NOW, 1_000).unwrap());
    assert_eq!(behind(), 2);
    assert!(!store.extend_index(NOW, 1_000).unwrap());
    assert_eq!(behind(), 0);
}

#[test]
fn events_that_came_late_are_taken_into_the_index_a_few_megabytes_at_a_time() {
    let store = store();
    store.sql().execute("UPDATE search_progress SET seq = ?", values![u64::pow(2, 40)]).unwrap();
    insert_all(&store, &large());
    let late = || store.sql().first::<(u64,)>("SELECT count(*) FROM search_late", &[]).unwrap().unwrap().0;
    assert!(store.extend_index(NOW, 1_000).unwrap());
    assert_eq!(late(), 2);
    assert!(!store.extend_index(NOW, 1_000).unwrap());
    assert_eq!(late(), 0);
}

#[test]
fn deliveries_are_due_a_few_megabytes_at_a_time() {
    let store = store();
    for event in large() {
        store.insert(NOW, &event).unwrap();
        store.hand_over(NOW, &event, true).unwrap();
    }
    let due = || store.due_handovers(LATER).unwrap().len();
    assert_eq!([due(), due(), due()], [4, 2, 0]);
}

#[test]
fn a_deletion_and_a_request_to_vanish_remove_more_than_a_batch() {
    for request in [5, 62] {
        let store = store();
        let events = large();
        insert_all(&store, &events);
        let ids: Vec<String> = events.iter().map(|event| event.id.to_hex()).collect();
        let tags: Vec<[&str; 2]> = ids.iter().map(|id| ["e", id.as_str()]).collect();
        let tags: Vec<&[&str]> = tags.iter().map(|tag| &tag[..]).collect();
        store.vanish_or_insert(&signed_by(&keys(0), request, 100, &tags, ""));
        while store.has_to_sweep().unwrap() {
            store.sweep(500).unwrap();
        }
        assert_eq!(stored(&store), 1);
    }
}

impl Store<Sqlite> {
    fn vanish_or_insert(&self, event: &VerifiedEvent) {
        match event.kind.0 {
            62 => self.vanish(NOW, event).unwrap(),
            _ => self.insert(NOW, event).unwrap(),
        };
    }
}

#[test]
fn only_the_first_fifty_of_a_report_are_looked_at() {
    let store = store();
    let notes: Vec<_> = (0..60).map(|second| signed(1, second, &[])).collect();
    insert_all(&store, &notes);
    let ids: Vec<String> = notes.iter().map(|note| note.id.to_hex()).collect();
    let tags: Vec<[&str; 3]> = ids.iter().map(|id| ["e", id.as_str(), "spam"]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(|tag| &tag[..]).collect();
    insert_all(&store, &[signed(1_984, 100, &tags)]);
    let reported: BTreeSet<String> =
        store.reported().unwrap().into_iter().map(|listed| listed.subject).collect();
    assert_eq!(reported, ids.into_iter().take(50).collect());
}

#[test]
fn reports_are_read_up_to_a_few_megabytes() {
    let store = store();
    let notes: Vec<_> = (0..6).map(|second| signed(1, second, &[])).collect();
    insert_all(&store, &notes);
    let content = "a ".repeat(512 * 1024);
    for (second, note) in (100..).zip(&notes) {
        let report = signed_by(&keys(1), 1_984, second, &[&["e", &note.id.to_hex()]], &content);
        insert_all(&store, &[report]);
    }
    assert_eq!(store.reported().unwrap().len(), 4);
}

#[test]
fn a_filter_may_have_all_letters_for_tags() {
    let store = store();
    let id = keys(0).public_key().to_hex();
    let letters: Vec<String> = ('a'..='z').chain('A'..='Z').map(String::from).collect();
    let tags: Vec<[&str; 2]> = letters.iter().map(|letter| [letter.as_str(), id.as_str()]).collect();
    let tags: Vec<&[&str]> = tags.iter().map(|tag| &tag[..]).collect();
    let event = signed(1, 1, &tags);
    insert_all(&store, &[event.clone(), signed(1, 2, &tags[1..])]);
    let tags: Vec<String> =
        letters.iter().map(|letter| format!(r##""#{letter}":["{id}","{}"]"##, "0".repeat(64))).collect();
    let filter = format!(r#"{{{},"authors":["{id}"],"kinds":[1,2],"since":1,"until":9}}"#, tags.join(","));
    let filters = [Filter::from_json(&filter).unwrap()];
    assert_eq!(find(&store, &filters, &Limits::default()).0, [event.json().to_string()]);
    let (found, _) = scanned(&store, NOW, &filters, &Viewer::everything(), [1_000, 1_000]);
    assert_eq!(found.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [event.id]);
}

#[test]
fn private_messages_are_counted_without_reading_those_of_others() {
    let store = store();
    let (ada, grace) = (keys(0), keys(1));
    let [to_ada, to_grace] = [&ada, &grace].map(|keys| keys.public_key().to_hex());
    let events = [
        signed_by(&ada, 4, 1, &[&["p", &to_grace]], ""),
        signed_by(&ada, 4, 2, &[&["p", &to_ada]], ""),
        signed_by(&grace, 4, 3, &[&["p", &to_ada]], ""),
        signed_by(&grace, 4, 4, &[&["p", &to_grace]], ""),
    ];
    insert_all(&store, &events);
    let (noting, plans) = noting(&store);
    let (private_kinds, pubkeys) = ([Kind(4)].into_iter().collect(), BTreeSet::from([ada.public_key()]));
    let viewer = Viewer { private_kinds: &private_kinds, pubkeys: &pubkeys };
    let filter = Filter::new().kinds([4]);
    for slice in [1, 2, 100] {
        let (found, coverage) = scanned(&noting, NOW, std::slice::from_ref(&filter), &viewer, [100, slice]);
        assert_eq!((found.len(), coverage), (3, Coverage::All));
        assert!(events[..3].iter().all(|event| found.iter().any(|(id, ..)| *id == event.id)));
    }
    let plans: Vec<String> = plans.take().concat();
    assert!(plans.iter().any(|step| step.contains("INDEX event_by_author (pubkey=? AND kind=?")));
    assert!(!plans.iter().any(|step| step.contains("event_by_kind")), "{plans:?}");
}
