//! Tests of reconciliation (NIP-77): initiator and responder together, and malformed messages.

#![allow(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::time::Duration;

use openagents_host::{EventId, Timestamp};
use proptest::prelude::*;

use super::{MAX_MESSAGE_BYTES, Reconciliation, ReconciliationError, Reconciliations, Records, answer};
use crate::limits::Limits;
use crate::session::ConnectionId;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::SubscriptionId;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

type Pairs = BTreeSet<(u64, EventId)>;

fn name(text: &str) -> SubscriptionId {
    SubscriptionId::new(text).unwrap()
}

fn ids(pairs: &Pairs, without: &Pairs) -> BTreeSet<EventId> {
    pairs.difference(without).map(|(_, id)| *id).collect()
}

/// The differences found by a client with `own` and a relay with `theirs`, and the number of messages this took.
fn reconcile(own: &Pairs, theirs: &Pairs) -> (BTreeSet<EventId>, BTreeSet<EventId>, u32) {
    let relay: Records = theirs.iter().copied().collect();
    let (mut client, mut message) = Reconciliation::open(own.iter().copied().collect()).unwrap();
    let (mut have, mut need) = (BTreeSet::new(), BTreeSet::new());
    for round in 1..200 {
        assert!(message.len() as u64 <= MAX_MESSAGE_BYTES);
        let reply = answer(&relay, &message).unwrap();
        assert!(reply.len() as u64 <= MAX_MESSAGE_BYTES);
        let difference = client.step(&reply).unwrap();
        have.extend(difference.have);
        need.extend(difference.need);
        match difference.next {
            Some(next) => message = next,
            None => return (have, need, round),
        }
    }
    panic!("it does not end");
}

/// A record from a small range of times, so that many are equal. Ids share prefixes, and each has one time, since it
/// is the hash of the event.
fn pair() -> impl Strategy<Value = (u64, EventId)> {
    let second = prop_oneof![0..5_u64, any::<u32>().prop_map(u64::from)];
    (second, 0..4_u8, any::<u16>()).prop_map(|(second, first, last)| {
        let mut id = [first; 32];
        id[22..30].copy_from_slice(&second.to_be_bytes());
        id[30..].copy_from_slice(&last.to_be_bytes());
        (second, EventId::from_bytes(id))
    })
}

proptest! {
    #[test]
    fn both_sides_learn_exactly_what_differs(
        shared in prop::collection::btree_set(pair(), 0..300),
        own in prop::collection::btree_set(pair(), 0..100),
        theirs in prop::collection::btree_set(pair(), 0..100),
    ) {
        let (own, theirs): (Pairs, Pairs) = (&shared | &own, &shared | &theirs);
        let (have, need, _) = reconcile(&own, &theirs);
        prop_assert_eq!(have, ids(&own, &theirs));
        prop_assert_eq!(need, ids(&theirs, &own));
    }

    #[test]
    fn no_message_makes_either_side_panic(
        records in prop::collection::btree_set(pair(), 0..200), bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let records: Records = records.into_iter().collect();
        let (mut client, _) = Reconciliation::open(records.clone()).unwrap();
        for bytes in [bytes.clone(), [&[0x61], &bytes[..]].concat()] {
            let _ = answer(&records, &bytes);
            let _ = client.step(&bytes);
        }
    }

    #[test]
    fn no_mangled_message_makes_either_side_panic(
        own in prop::collection::btree_set(pair(), 0..200), theirs in prop::collection::btree_set(pair(), 0..200),
        cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let records: Records = theirs.into_iter().collect();
        let (mut client, first) = Reconciliation::open(own.into_iter().collect()).unwrap();
        let reply = answer(&records, &first).unwrap();
        for message in [first, reply] {
            let mut mangled = message.clone();
            mangled[at.index(message.len())] = byte;
            for bytes in [&message[..cut.index(message.len())], &mangled] {
                let _ = answer(&records, bytes);
                let _ = client.step(bytes);
            }
        }
    }
}

#[test]
fn differences_beyond_one_message_are_spread_over_several() {
    let pairs = |range: std::ops::Range<u32>| -> Pairs {
        range
            .map(|number| {
                let mut id = [7; 32];
                id[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
                (u64::from(number / 50), EventId::from_bytes(id))
            })
            .collect()
    };
    let (own, theirs) = (pairs(0..15_000), pairs(5_000..20_000));
    let (have, need, rounds) = reconcile(&own, &theirs);
    assert_eq!((have, need), (ids(&own, &theirs), ids(&theirs, &own)));
    assert!(rounds > 3, "{rounds}");
    let (have, need, rounds) = reconcile(&own, &own);
    assert_eq!((have.len(), need.len(), rounds), (0, 0, 1), "what both have costs one message");
}

#[test]
fn another_version_is_answered_with_the_one_that_is_spoken() {
    let records: Records = [(1, EventId::from_bytes([1; 32]))].into_iter().collect();
    assert_eq!(answer(&records, &[0x62, 1, 2, 3]), Ok(vec![0x61]));
    assert!(matches!(answer(&records, &[0x12]), Err(ReconciliationError::Malformed(_))));
    let (mut client, _) = Reconciliation::open(records).unwrap();
    assert_eq!(client.step(&[0x60]), Err(ReconciliationError::Version));
}

#[test]
fn a_list_that_claims_to_be_endless_takes_no_memory() {
    let records: Records = [(1, EventId::from_bytes([1; 32]))].into_iter().collect();
    let claims_two_to_the_56_ids = [0x61, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(answer(&records, &claims_two_to_the_56_ids).is_err());
}

#[test]
fn limits_open_reconciliations_and_replaces_one_with_the_same_id() {
    let (mut open, connection) = (Reconciliations::default(), ConnectionId::new(1));
    let limits = Limits::default();
    for number in 0..8 {
        open.open(connection, &name(&number.to_string()), &Filter::new(), &limits).unwrap();
    }
    assert!(open.open(connection, &name("one more"), &Filter::new(), &limits).is_err());
    let other = Filter::new().kinds([7]);
    open.open(connection, &name("3"), &other, &limits).unwrap();
    assert_eq!(open.filter(connection, &name("3")), Some(&other));
    let small = Limits { max_filters_length: 20, ..limits.clone() };
    assert!(open.open(connection, &name("3"), &other, &small).is_err(), "the filters are too long together");
    assert_eq!(open.filter(connection, &name("3")), None, "what a refused one replaces is closed");
    open.open(ConnectionId::new(2), &name("3"), &other, &limits).unwrap();
    open.close_all(connection);
    assert!(
        open.filter(connection, &name("0")).is_none()
            && open.filter(ConnectionId::new(2), &name("3")).is_some()
    );
}

#[test]
fn records_are_dropped_when_idle_or_over_the_limit() {
    let (mut open, connection) = (Reconciliations::default(), ConnectionId::new(1));
    let records = |count: u8| -> Records { (0..count).map(|n| (1, EventId::from_bytes([n; 32]))).collect() };
    let (a, b) = (name("a"), name("b"));
    for id in [&a, &b] {
        open.open(connection, id, &Filter::new(), &Limits::default()).unwrap();
    }
    open.keep(NOW, connection, &a, records(6).into(), 10);
    let later = NOW + Duration::from_secs(1);
    open.keep(later, connection, &b, records(5).into(), 10);
    assert!(open.records(later, connection, &a).is_none(), "eleven are too many: the older ones went");
    assert_eq!(open.records(later, connection, &b).map(Records::len), Some(5));
    let much_later = later + Duration::from_secs(31);
    assert!(open.records(much_later, connection, &b).is_none());
    assert!(open.filter(connection, &b).is_some(), "it can be gone on with");
}

#[test]
fn open_ones_survive_a_sleep() {
    let (mut open, connection) = (Reconciliations::default(), ConnectionId::new(1));
    assert!(open.saved(connection).is_none());
    let filter = Filter::new().kinds([1]).tag('t', ["a\"b"]).unwrap();
    for id in ["a", "b\"c"] {
        open.open(connection, &name(id), &filter, &Limits::default()).unwrap();
    }
    let saved = open.saved(connection).unwrap();
    let mut again = Reconciliations::default();
    again.restore(connection, &saved, &Limits::default());
    assert_eq!(again.filter(connection, &name("b\"c")), Some(&filter));
    assert_eq!(again.saved(connection).unwrap().get(), saved.get());
}

#[test]
fn the_records_that_were_just_kept_stay() {
    let mut reconciliations = Reconciliations::default();
    let connection = ConnectionId::new(1);
    let records = || (0..3).map(|second| (second, EventId::from_bytes([7; 32]))).collect::<Records>();
    for id in ["b", "a"] {
        reconciliations.keep(NOW, connection, &name(id), records().into(), 4);
    }
    let mut is_kept = |id| reconciliations.records(NOW, connection, &name(id)).is_some();
    assert!(is_kept("a") && !is_kept("b"), "both were used at the same instant");
}
