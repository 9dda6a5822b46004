//! Random events and filters for tests, with so few distinct values that they often match.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::event::{UnsignedEvent, VerifiedEvent};
use super::filter::{Filter, OneOf};
use super::keys::Keys;
use super::kind::Kind;
use super::tag::TagName;
use crate::time::Timestamp;

static KEYS: LazyLock<Vec<Keys>> =
    LazyLock::new(|| (1..=3).map(|secret| Keys::from_secret(&[secret; 32]).unwrap()).collect());

const KINDS: [u16; 8] = [1, 7, 10_002, 0, 30_023, 5_050, 4, 1059];

pub fn keys(number: usize) -> Keys {
    KEYS[number].clone()
}

/// An event of the first key.
pub fn signed(kind: u16, created_at: u64, tags: &[&[&str]]) -> VerifiedEvent {
    signed_by(&keys(0), kind, created_at, tags, "")
}

pub fn signed_by(keys: &Keys, kind: u16, created_at: u64, tags: &[&[&str]], content: &str) -> VerifiedEvent {
    tags.iter()
        .fold(UnsignedEvent::new(Kind(kind), content), |event, tag| event.tag(tag.iter().copied()))
        .sign(keys, Timestamp::from_seconds(created_at))
}

/// As many random cases of a `proptest!` as `PROPTEST_CASES` says, or else `cases`: proptest itself reads this variable
/// only where a test names no number.
pub fn random_cases(cases: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if is_set { config.cases } else { cases }, ..config }
}

/// A random event.
pub fn event() -> impl Strategy<Value = VerifiedEvent> {
    (0..3_usize, prop::sample::select(&KINDS[..]), 0..6_u64, prop::collection::vec(tag(), 0..4), 0..2_u8)
        .prop_map(|(key, kind, created_at, tags, content)| {
            UnsignedEvent::new(Kind(kind), content.to_string())
                .tags(tags)
                .sign(&keys(key), Timestamp::from_seconds(created_at))
        })
}

/// A random tag.
pub fn tag() -> impl Strategy<Value = Vec<String>> {
    (prop::sample::select(&["t", "T", "d", "e", "p", "long"][..]), value()).prop_flat_map(|(name, value)| {
        prop_oneof![
            4 => Just(vec![name.to_owned(), value]),
            1 => Just(vec![name.to_owned()]),
        ]
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&["", "a", "b", "a\0b", "'\"\\é🦀"][..]).prop_map(str::to_owned),
        2 => (0..3_usize).prop_map(|key| keys(key).public_key().to_hex()),
    ]
}

/// A random filter.
pub fn filter() -> impl Strategy<Value = Filter> {
    let authors = prop::collection::vec(0..3_usize, 0..4);
    let kinds = prop::collection::vec(prop::sample::select(&KINDS[..]), 0..4);
    let tags = prop::collection::btree_map(
        prop::sample::select(&["t", "T", "d", "e", "p"][..]),
        prop::collection::vec(value(), 0..4),
        0..3,
    );
    let ids = prop::collection::vec(event(), 0..3);
    (
        prop::option::weighted(0.2, ids),
        prop::option::of(authors),
        prop::option::of(kinds),
        tags,
        prop::option::of(0..6_u64),
        prop::option::of(0..6_u64),
        prop::option::of(0..8_u64),
    )
        .prop_map(|(ids, authors, kinds, tags, since, until, limit)| Filter {
            ids: ids.map(|events| events.iter().map(|event| event.id).collect()),
            authors: authors
                .map(|numbers| numbers.into_iter().map(|number| keys(number).public_key()).collect()),
            kinds: kinds.map(|kinds| kinds.into_iter().map(Kind).collect()),
            tags: tags
                .into_iter()
                .map(|(name, values)| (TagName::new(name).unwrap(), values_for(name, values)))
                .collect(),
            since,
            until,
            search: None,
            limit,
        })
}

/// NIP-01 allows only hex for `#e` and `#p`.
fn values_for(name: &str, values: Vec<String>) -> OneOf<String> {
    values.into_iter().filter(|value| !matches!(name, "e" | "p") || value.len() == 64).collect()
}
