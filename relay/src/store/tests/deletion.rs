//! Deletion requests (NIP-09), requests to vanish (NIP-62), and the end of events (NIP-40).

use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use openagents_host::{Keys, Timestamp, VerifiedEvent};

use super::{NOW, insert_all, scanned, store};
use crate::fixtures::{self, keys, signed_by};
use crate::limits::Limits;
use crate::store::Insertion::{Deleted, Duplicate, Expired, Inserted, Superseded, Vanished};
use crate::store::{Insertion, Store, Viewer};
use openagents_host::nostr::filter::Filter;

fn event(author: &Keys, kind: u16, at: u64, tags: &[&[&str]]) -> VerifiedEvent {
    signed_by(author, kind, at, tags, "")
}

fn insert(store: &Store<Sqlite>, event: &VerifiedEvent) -> Insertion {
    store.insert(NOW, event).unwrap()
}

fn is_found(store: &Store<Sqlite>, now: Timestamp, event: &VerifiedEvent) -> bool {
    let mut found = 0;
    let filter = Filter::new().authors([event.pubkey]).kinds([event.kind.0]).since(event.created_at);
    let each = &mut |json: std::sync::Arc<str>| found += u32::from(json == *event.json());
    store.query(now, &[filter], &Limits::default(), &Viewer::everything(), each).unwrap();
    found > 0
}

#[test]
fn deletes_only_what_its_author_wrote_and_for_good() {
    let store = store();
    let (ada, grace) = (keys(0), keys(1));
    let (own, others) = (event(&ada, 1, 5, &[]), event(&grace, 1, 5, &[]));
    insert_all(&store, &[own.clone(), others.clone()]);
    let request = event(
        &ada,
        5,
        6,
        &[&["e", &own.id.to_hex()], &["e", &others.id.to_hex()], &["e", "no id"], &["k", "1"]],
    );
    assert_eq!(insert(&store, &request), Inserted);
    assert_eq!([&own, &others, &request].map(|event| is_found(&store, NOW, event)), [false, true, true]);
    assert_eq!(insert(&store, &own), Deleted);
    assert_eq!(insert(&store, &request), Duplicate);
}

#[test]
fn what_comes_after_its_deletion_is_refused() {
    let store = store();
    let (ada, grace) = (keys(0), keys(1));
    let (own, others) = (event(&ada, 1, 9, &[]), event(&grace, 1, 5, &[]));
    insert(&store, &event(&ada, 5, 6, &[&["e", &own.id.to_hex()], &["e", &others.id.to_hex()]]));
    assert_eq!(insert(&store, &own), Deleted);
    assert_eq!(insert(&store, &others), Inserted);
}

#[test]
fn neither_deletions_nor_requests_to_vanish_can_be_deleted() {
    let store = store();
    let ada = keys(0);
    let note = event(&ada, 1, 1, &[]);
    let deletion = event(&ada, 5, 2, &[&["e", &note.id.to_hex()]]);
    let vanish = event(&ada, 62, 0, &[&["relay", "ALL_RELAYS"]]);
    let second = event(&ada, 5, 3, &[&["e", &deletion.id.to_hex()], &["e", &vanish.id.to_hex()]]);
    insert_all(&store, &[deletion.clone(), vanish.clone(), second.clone()]);
    assert!(is_found(&store, NOW, &deletion) && is_found(&store, NOW, &vanish));
    assert_eq!(insert(&store, &note), Deleted);
    // The same in reverse order.
    let other = super::store();
    insert_all(&other, &[second, deletion.clone(), vanish.clone()]);
    assert!(is_found(&other, NOW, &deletion) && is_found(&other, NOW, &vanish));
}

#[test]
fn an_address_deletes_the_versions_up_to_its_second() {
    let store = store();
    let (ada, grace) = (keys(0), keys(1));
    let version = |author: &Keys, at| event(author, 30_023, at, &[&["d", "a:b\0c"]]);
    let profile = |at| event(&ada, 0, at, &[]);
    let address = |kind: u16, author: &Keys, d: &str| format!("{kind}:{}:{d}", author.public_key());
    insert_all(&store, &[version(&ada, 5), version(&grace, 5), profile(5)]);
    let request = event(
        &ada,
        5,
        6,
        &[
            &["a", &address(30_023, &ada, "a:b\0c")],
            &["a", &address(30_023, &grace, "a:b\0c")],
            &["a", &address(0, &ada, "")],
            &["a", "nonsense"],
        ],
    );
    assert_eq!(insert(&store, &request), Inserted);
    let found = |event: &VerifiedEvent| is_found(&store, NOW, event);
    assert!(!found(&version(&ada, 5)) && found(&version(&grace, 5)) && !found(&profile(5)));
    for (event, expected) in [
        (version(&ada, 5), Deleted),
        (version(&ada, 6), Deleted),
        (version(&ada, 7), Inserted),
        (version(&ada, 6), Deleted),
        (profile(6), Deleted),
        (profile(7), Inserted),
        (version(&grace, 6), Inserted),
    ] {
        assert_eq!(insert(&store, &event), expected, "{}", event.json());
    }
    // An older request does not undo this, and a newer version stays.
    insert(&store, &event(&ada, 5, 3, &[&["a", &address(30_023, &ada, "a:b\0c")]]));
    assert_eq!(insert(&store, &version(&ada, 5)), Deleted);
    assert!(is_found(&store, NOW, &version(&ada, 7)));
}

#[test]
fn a_gift_wrap_is_deleted_by_whom_it_is_for() {
    let (ada, grace) = (keys(0), keys(1));
    let to_ada = ada.public_key().to_hex();
    let wrap = event(&grace, 1059, 5, &[&["p", &to_ada]]);
    let late = event(&grace, 1059, 5, &[&["p", "nobody"], &["p", &to_ada], &["n", "late"]]);
    let to_others = event(&grace, 1059, 5, &[&["p", &grace.public_key().to_hex()]]);
    let note = event(&grace, 1, 5, &[&["p", &to_ada]]);
    let store = store();
    insert_all(&store, &[wrap.clone(), to_others.clone(), note.clone()]);
    let ids = [&wrap, &late, &to_others, &note].map(|event| event.id.to_hex());
    let tags = ids.each_ref().map(|id| ["e", id.as_str()]);
    let tags = tags.each_ref().map(|tag| &tag[..]);
    assert_eq!(insert(&store, &event(&ada, 5, 6, &tags)), Inserted);
    assert_eq!([&wrap, &to_others, &note].map(|event| is_found(&store, NOW, event)), [false, true, true]);
    assert_eq!([&wrap, &late].map(|event| insert(&store, event)), [Deleted; 2]);
    assert_eq!(super::checks::inconsistencies(&store), []);
}

#[test]
fn a_request_to_vanish_removes_older_events_and_gift_wraps() {
    let store = store();
    let (ada, grace) = (keys(0), keys(1));
    let to_ada = ada.public_key().to_hex();
    let mut gone: Vec<_> = (0..600).map(|at| event(&ada, 1, at % 100, &[&["n", &at.to_string()]])).collect();
    let deleted = event(&ada, 1, 250, &[]);
    gone.push(event(&ada, 5, 40, &[&["e", &deleted.id.to_hex()]]));
    gone.push(event(&ada, 0, 50, &[]));
    gone.push(event(&grace, 1059, 60, &[&["p", &to_ada]]));
    let stays = [
        event(&ada, 1, 201, &[]),
        event(&grace, 1, 60, &[&["p", &to_ada]]),
        event(&grace, 1059, 201, &[&["p", &to_ada]]),
    ];
    insert_all(&store, &gone);
    insert_all(&store, &stays);
    let request = event(&ada, 62, 200, &[&["relay", "ALL_RELAYS"]]);
    assert_eq!(store.vanish(NOW, &request).unwrap(), Inserted);
    let agree = |store: &Store<Sqlite>| {
        assert!(gone.iter().all(|event| !is_found(store, NOW, event)));
        assert!(stays.iter().chain([&request]).all(|event| is_found(store, NOW, event)));
        assert!(gone.iter().all(|event| insert(store, event) == Vanished));
        assert_eq!(store.vanish(NOW, &request).unwrap(), Duplicate);
        assert_eq!(insert(store, &deleted), Deleted);
        assert_eq!(super::checks::inconsistencies(store), []);
    };
    // Events about to be removed are hidden.
    assert!(store.has_to_sweep().unwrap());
    assert!(store.statistics(1).unwrap().events > 600);
    agree(&store);
    while store.has_to_sweep().unwrap() {
        assert!(store.sweep(100).unwrap() <= 100);
        agree(&store);
    }
    assert_eq!(store.statistics(1).unwrap().events, 4);
    assert_eq!(store.export(0, 100).unwrap().len(), 4);
    // The next request replaces this one.
    let next = event(&ada, 62, 300, &[&["relay", "ALL_RELAYS"]]);
    assert_eq!(store.vanish(NOW, &next).unwrap(), Inserted);
    assert_eq!([&request, &next, &stays[0]].map(|event| is_found(&store, NOW, event)), [false, true, false]);
    assert_eq!(store.vanish(NOW, &request).unwrap(), Vanished);
}

#[test]
fn a_request_to_vanish_removes_job_results_and_feedback() {
    let store = store();
    let (ada, grace) = (keys(0), keys(1));
    let to_ada = ada.public_key().to_hex();
    let tags: &[&[&str]] = &[&["p", &to_ada]];
    let gone = [6_000, 6_050, 6_999, 7_000].map(|kind| event(&grace, kind, 60, tags));
    let stays = [5_999, 7_001].map(|kind| event(&grace, kind, 60, tags));
    let others = [event(&grace, 6_050, 201, tags), event(&grace, 6_050, 60, &[])];
    insert_all(&store, &gone);
    insert_all(&store, &stays);
    insert_all(&store, &others);
    store.vanish(NOW, &event(&ada, 62, 200, &[&["relay", "ALL_RELAYS"]])).unwrap();
    while store.has_to_sweep().unwrap() {
        store.sweep(2).unwrap();
    }
    assert!(!gone.iter().any(|event| is_found(&store, NOW, event)));
    assert!(stays.iter().chain(&others).all(|event| is_found(&store, NOW, event)));
    assert_eq!(super::checks::inconsistencies(&store), []);
}

#[test]
fn an_expired_event_is_refused_hidden_and_removed() {
    let store = store();
    let at = Timestamp::from_seconds;
    let expiring = |second: u64, expiration: &str| {
        event(&keys(0), 10_002, second, &[&["expiration", expiration], &["t", "a"]])
    };
    assert_eq!(store.insert(at(50), &expiring(1, "50")).unwrap(), Expired);
    let newer = expiring(9, "60");
    assert_eq!(store.insert(at(50), &newer).unwrap(), Inserted);
    assert_eq!(store.insert(at(50), &expiring(8, "90")).unwrap(), Superseded);
    assert_eq!(store.next_expiry().unwrap(), Some(at(60)));
    assert!(is_found(&store, at(59), &newer) && !is_found(&store, at(60), &newer));
    let all = [Filter::new()];
    let count = |second| scanned(&store, at(second), &all, &Viewer::everything(), [1_000; 2]).0.len();
    assert_eq!((count(59), count(60)), (1, 0));
    assert_eq!(store.remove_expired(at(59), 10).unwrap(), 0);
    // An expired event does not block others.
    assert_eq!(store.insert(at(60), &expiring(8, "90")).unwrap(), Inserted);
    assert_eq!(store.remove_expired(at(90), 10).unwrap(), 1);
    assert_eq!((store.next_expiry().unwrap(), store.statistics(1).unwrap().tags), (None, 0));
}

#[test]
fn an_event_expires_at_the_end_of_its_retention() {
    let store = store().with_retention("1=10s,10002=10s,20001=5s".parse().unwrap());
    let at = Timestamp::from_seconds;
    let note = event(&keys(0), 1, 3, &[&["t", "a"]]);
    let late = event(&keys(0), 1, 4, &[&["expiration", "55"]]);
    let early = event(&keys(0), 1, 5, &[&["expiration", "99"]]);
    let relays = |second| event(&keys(0), 10_002, second, &[]);
    let ephemeral = event(&keys(0), 20_001, 7, &[]);
    let other = event(&keys(0), 7, 8, &[]);
    for event in [&note, &late, &early, &relays(9), &ephemeral, &other] {
        assert_eq!(store.insert(at(50), event).unwrap(), Inserted);
    }
    assert_eq!(store.insert(at(59), &note).unwrap(), Duplicate);
    assert_eq!(store.insert(at(59), &relays(8)).unwrap(), Superseded);
    for (event, end) in [(&note, 60), (&late, 55), (&early, 60), (&relays(9), 60), (&ephemeral, 55)] {
        assert!(
            is_found(&store, at(end - 1), event) && !is_found(&store, at(end), event),
            "{}",
            event.json()
        );
    }
    assert!(is_found(&store, at(1_000), &other));
    assert_eq!(super::checks::inconsistencies(&store), []);
    // An expired event that is not yet removed can be stored again, and it does not block an older version.
    assert_eq!(store.insert(at(60), &note).unwrap(), Inserted);
    assert_eq!(store.insert(at(60), &relays(8)).unwrap(), Inserted);
    assert!(is_found(&store, at(69), &note) && is_found(&store, at(69), &relays(8)));
    let row_keys: Vec<(u64,)> = store.sql().rows("SELECT seq FROM event WHERE created_at = 3", &[]).unwrap();
    assert_eq!(row_keys, [(crate::store::row_key::RowKey::of(&note).seq(),)]);
    assert_eq!(super::checks::inconsistencies(&store), []);
    // Without rules, new events do not expire, and stored events keep their expiry.
    let store = Store::open(store.sql().clone()).unwrap();
    assert!(!is_found(&store, at(70), &note));
    assert_eq!(store.insert(at(70), &note).unwrap(), Inserted);
    assert!(is_found(&store, at(1_000), &note));
}

#[test]
fn a_moderator_removes_anything_and_it_may_come_back() {
    let store = store();
    let note = fixtures::signed(5, 1, &[&["t", "a"]]);
    insert_all(&store, std::slice::from_ref(&note));
    assert!(store.remove(&note.id).unwrap() && !store.remove(&note.id).unwrap());
    assert_eq!(super::checks::inconsistencies(&store), []);
    assert_eq!(insert(&store, &note), Inserted);
}
