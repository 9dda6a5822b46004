//! Random events and filters for tests, with so few distinct values that they often match.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::panic::Location;
use std::sync::LazyLock;

pub(crate) use openagents_host::nostr::fixtures::{
    event, filter, keys, random_cases, signed, signed_by, tag,
};
use openagents_host::{Kind, PublicKey, Timestamp, UnsignedEvent, VerifiedEvent};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// How many events are signed once for all tests, because signing is expensive.
const POOL: usize = 1_200;

/// Ordinary events, followed by as many that delete some of them or let their author vanish. They are the same in
/// every run, so a seed identifies a case.
static POOL_EVENTS: LazyLock<Vec<VerifiedEvent>> = LazyLock::new(|| {
    let mut runner = TestRunner::deterministic();
    let mut any = |strategy: BoxedStrategy<VerifiedEvent>| {
        prop::strategy::ValueTree::current(&strategy.new_tree(&mut runner).unwrap())
    };
    let mut events: Vec<VerifiedEvent> = (0..POOL).map(|_| any(lasting_or_expiring().boxed())).collect();
    let requests: Vec<VerifiedEvent> = (0..POOL / 3).map(|_| any(request(events.clone()).boxed())).collect();
    events.extend(requests);
    events
});

fn lasting_or_expiring() -> impl Strategy<Value = VerifiedEvent> {
    let expiration = prop_oneof![3 => Just(None), 1 => (4..14_u64).prop_map(Some)];
    (event(), expiration).prop_map(|(event, expiration)| {
        let Some(second) = expiration else { return event };
        let number = (0..3).find(|number| keys(*number).public_key() == event.pubkey).unwrap();
        UnsignedEvent::new(event.kind, event.content.clone())
            .tags(event.tags.clone())
            .tag(["expiration".to_owned(), second.to_string()])
            .sign(&keys(number), Timestamp::from_seconds(event.created_at))
    })
}

/// A deletion request or a request to vanish, about some of these events or about something else.
fn request(about: Vec<VerifiedEvent>) -> impl Strategy<Value = VerifiedEvent> {
    let about = prop::collection::vec(prop::sample::select(about), 1..5);
    let shape = (0..12_u8, 0..3_usize, 0..7_u64, any::<bool>());
    (about, shape, prop::collection::vec(tag(), 0..2)).prop_map(
        |(about, (shape, author, second, expires), tags)| {
            // Most requests are about an event of the same author.
            let author = if shape % 3 == 0 {
                author
            } else {
                (0..3).find(|number| keys(*number).public_key() == about[0].pubkey).unwrap()
            };
            let request = if shape == 11 {
                UnsignedEvent::new(Kind(62), "").tag(["relay", "ALL_RELAYS"])
            } else {
                about.iter().fold(UnsignedEvent::new(Kind(5), ""), |request, event| {
                    let address = format!("{}:{}:{}", event.kind, event.pubkey, event.identifier());
                    match event.id.as_bytes()[0] % 3 {
                        0 => request.tag(["a".to_owned(), address]),
                        _ => request.tag(["e".to_owned(), event.id.to_hex()]),
                    }
                })
            };
            let request = if expires { request.tag(["expiration", "9"]) } else { request };
            request.tags(tags).sign(&keys(author), Timestamp::from_seconds(second))
        },
    )
}

/// An event of the pool, by index. A failing case prints the index.
pub(crate) fn pooled() -> impl Strategy<Value = usize> {
    // Requests are frequent, because most failures begin with one.
    prop_oneof![2 => 0..POOL, 1 => POOL..POOL + POOL / 3]
}

pub(crate) fn pool() -> &'static [VerifiedEvent] {
    &POOL_EVENTS
}

/// The keys that a reader has authenticated with.
pub(crate) fn reader() -> impl Strategy<Value = BTreeSet<PublicKey>> {
    prop::collection::btree_set((0..3_usize).prop_map(|number| keys(number).public_key()), 0..3)
}

/// Runs `cases` random cases, or as many as `PROPTEST_CASES` says. The seed is printed, and `RELAY_TEST_SEED` repeats a
/// run. A case that failed is kept in `proptest-regressions/` and repeated by every later run.
#[track_caller]
#[allow(clippy::print_stderr)]
pub(crate) fn try_many<S: Strategy>(
    name: &str,
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("RELAY_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(name));
    let config = Config { source_file: Some(Location::caller().file()), ..random_cases(cases) };
    eprintln!("{name}: {} cases, RELAY_TEST_SEED={seed}", config.cases);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    if let Err(error) = runner.run(strategy, test) {
        panic!("{name} with RELAY_TEST_SEED={seed}: {error}");
    }
}

/// Events of the pool, each at most once.
pub(crate) fn events(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<VerifiedEvent>> {
    prop::collection::vec(event(), count)
}
