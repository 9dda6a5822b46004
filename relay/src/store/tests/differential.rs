//! Differential test of store and live subscriptions against a linear scan over all events, with random histories.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::model::{Reader, StoreModel, matches};
use super::{scanned, store};
use crate::fixtures;
use crate::limits::Limits;
use crate::retention::RetentionRules;
use crate::session::ConnectionId;
use crate::store::{Coverage, Viewer};
use crate::subscriptions::Subscriptions;
use openagents_host::nostr::filter::{Filter, OneOf};
use openagents_host::nostr::message::Completeness;
use openagents_host::nostr::message::SubscriptionId;

#[derive(Clone, Debug)]
enum StoreStep {
    /// An event is published; a request to vanish may be addressed to this relay.
    Publish(usize, bool),
    /// An event is published again.
    Again(prop::sample::Index),
    /// A moderator removes an event.
    Remove(prop::sample::Index),
    /// One second passes.
    Wait,
    /// The alarm fires.
    RemoveExpired(u32),
    Sweep(u32),
}

fn step() -> impl Strategy<Value = StoreStep> {
    prop_oneof![
        12 => (fixtures::pooled(), prop::bool::weighted(0.7)).prop_map(|(number, vanish)| StoreStep::Publish(number, vanish)),
        2 => any::<prop::sample::Index>().prop_map(StoreStep::Again),
        1 => any::<prop::sample::Index>().prop_map(StoreStep::Remove),
        1 => Just(StoreStep::Wait),
        1 => (1..4_u32).prop_map(StoreStep::RemoveExpired),
        1 => (1..4_u32).prop_map(StoreStep::Sweep),
    ]
}

#[derive(Clone, Debug)]
struct AskedQuery {
    filters: Vec<Filter>,
    by_id: Vec<prop::sample::Index>,
    limits: Limits,
    reader: BTreeSet<openagents_host::PublicKey>,
    private: bool,
}

fn question() -> impl Strategy<Value = AskedQuery> {
    let limits = (1..12_u64, 1..12_u64, prop_oneof![5 => Just(1 << 20), 1 => 0..3_000_usize]).prop_map(
        |(default_limit, max_limit, max_answer_length)| Limits {
            default_limit,
            max_limit,
            max_answer_length,
            ..Limits::default()
        },
    );
    (
        prop::collection::vec(fixtures::filter(), 1..4),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        limits,
        fixtures::reader(),
        any::<bool>(),
    )
        .prop_map(|(filters, by_id, limits, reader, private)| AskedQuery {
            filters,
            by_id,
            limits,
            reader,
            private,
        })
}

#[test]
fn finds_exactly_what_a_linear_scan_finds() {
    // Some kinds are kept for only a few seconds.
    let kind = prop::sample::select(&[0, 1, 7, 1_059, 10_002, 30_023][..]);
    let retention = prop::collection::btree_map(kind, 1..4_u64, 0..4);
    let history = (retention, prop::collection::vec(step(), 0..60), prop::collection::vec(question(), 1..5));
    let store = store();
    fixtures::try_many("the store against a model", 1_500, &history, |(retention, steps, questions)| {
        // Rolled back at the end: a new database per case would take longer than the case itself.
        let tried: Result<(), Tried> =
            store.sql().transaction(|| Err(Tried(try_one(store.clone(), retention, steps, questions))));
        tried.map_or_else(|Tried(outcome)| outcome, |()| Ok(()))
    });
}

struct Tried(Result<(), TestCaseError>);

impl From<SqlError> for Tried {
    fn from(error: SqlError) -> Self {
        Self(Err(TestCaseError::fail(error.to_string())))
    }
}

fn try_one(
    store: TestStore,
    retention: BTreeMap<u16, u64>,
    steps: Vec<StoreStep>,
    questions: Vec<AskedQuery>,
) -> Result<(), TestCaseError> {
    let rules = retention.iter().try_fold(RetentionRules::none(), |rules, (kind, seconds)| {
        rules.keep(*kind..=*kind, Duration::from_secs(*seconds))
    });
    let store = &store.with_retention(rules.unwrap());
    let (mut model, mut now) = (StoreModel::default(), 6_u64);
    model.retention = retention;
    let mut published = Vec::new();
    for step in steps {
        let at = Timestamp::from_seconds(now);
        match step {
            StoreStep::Publish(number, vanish) => publish(store, &mut model, now, number, vanish)?,
            StoreStep::Again(index) if !published.is_empty() => {
                publish(store, &mut model, now, *index.get(&published), false)?;
            }
            StoreStep::Remove(index) if !published.is_empty() => {
                let id = fixtures::pool()[*index.get(&published)].id;
                let was_there = model.remove(now, id);
                // It may be hidden and still wait for removal.
                prop_assert!(store.remove(&id).unwrap() || !was_there);
            }
            StoreStep::Again(_) | StoreStep::Remove(_) => {}
            StoreStep::Wait => now += 1,
            StoreStep::RemoveExpired(at_most) => drop(store.remove_expired(at, at_most).unwrap()),
            StoreStep::Sweep(at_most) => drop(store.sweep(at_most).unwrap()),
        }
        if let StoreStep::Publish(number, _) = step {
            published.push(number);
        }
    }
    prop_assert_eq!(super::checks::inconsistencies(store), []);
    for question in questions {
        ask(store, &model, now, question, &published)?;
    }
    Ok(())
}

type TestStore = crate::store::Store<openagents_host::native::Sqlite>;

fn publish(
    store: &TestStore,
    model: &mut StoreModel,
    now: u64,
    number: usize,
    vanish: bool,
) -> Result<(), TestCaseError> {
    let event = &fixtures::pool()[number];
    let vanish = vanish && event.kind.0 == 62;
    let at = Timestamp::from_seconds(now);
    let insertion = if vanish { store.vanish(at, event) } else { store.insert(at, event) }.unwrap();
    prop_assert_eq!(insertion, model.publish(now, event, vanish), "event {}: {}", number, event.json());
    Ok(())
}

/// More than any query here needs.
const LOOK_UPS: u64 = 1_000_000;

fn ask(
    store: &TestStore,
    model: &StoreModel,
    now: u64,
    mut question: AskedQuery,
    published: &[usize],
) -> Result<(), TestCaseError> {
    if !published.is_empty() && !question.by_id.is_empty() {
        let ids = question.by_id.iter().map(|index| fixtures::pool()[*index.get(published)].id);
        question.filters.push(Filter::new().ids(ids));
    }
    let AskedQuery { filters, limits, reader, private, .. } = question;
    let private_kinds: Vec<u16> = if private { vec![4, 1059] } else { Vec::new() };
    let kinds: OneOf<_> = private_kinds.iter().copied().map(openagents_host::Kind).collect();
    let viewer = Viewer { private_kinds: &kinds, pubkeys: &reader };
    let reader = Reader { private_kinds, pubkeys: reader.clone() };
    let at = Timestamp::from_seconds(now);

    let mut found = Vec::new();
    let completeness =
        store.query(at, &filters, &limits, &viewer, &mut |json| found.push(json.to_string())).unwrap();
    let expected = model.answer(now, &filters, &limits, &reader);
    prop_assert_eq!((&found, completeness), (&expected.0, expected.1), "{:?}", filters);

    let matching = model.count(now, &filters, &reader);
    let scan = |filters: &[Filter], slice| scanned(store, at, filters, &viewer, [LOOK_UPS, slice]);
    for slice in [3, LOOK_UPS] {
        let (counted, coverage) = scan(&filters, slice);
        prop_assert_eq!((counted.len(), coverage), (matching.len(), Coverage::All), "{:?}", filters);
        if completeness == Completeness::Finished {
            prop_assert!(found.len() <= counted.len());
        }
    }

    let each: Vec<_> = scan(&filters[..1], 3).0.into_iter().collect();
    let mut expected: Vec<_> = model
        .matching(now, &filters[0], &reader)
        .iter()
        .map(|event| (event.id, event.pubkey, event.created_at))
        .collect();
    expected.sort_unstable();
    prop_assert_eq!(each, expected, "{:?}", filters[0]);
    Ok(())
}

#[test]
fn matches_exactly_the_right_subscriptions() {
    let case =
        (prop::collection::vec(fixtures::filter(), 1..12), prop::collection::vec(fixtures::pooled(), 1..12));
    fixtures::try_many("the live index against a matcher", 1_000, &case, |(filters, events)| {
        let mut subscriptions = Subscriptions::default();
        let limits = Limits::default();
        let name = SubscriptionId::new("a").unwrap();
        for (number, pair) in (0..).zip(filters.chunks(2)) {
            subscriptions.subscribe(ConnectionId::new(number), &name, pair, &limits).unwrap();
        }
        for event in events.into_iter().map(|number| &fixtures::pool()[number]) {
            let mut told: Vec<_> = subscriptions.matching(event).map(|(connection, _)| connection).collect();
            told.sort_unstable();
            let expected: Vec<_> = (0..)
                .zip(filters.chunks(2))
                .filter(|(_, pair)| pair.iter().any(|filter| matches(filter, event)))
                .map(|(number, _)| ConnectionId::new(number))
                .collect();
            prop_assert_eq!(told, expected, "{}", event.json());
            for filter in &filters {
                prop_assert_eq!(
                    filter.matches(event),
                    matches(filter, event),
                    "{:?} {}",
                    filter,
                    event.json()
                );
            }
        }
        Ok(())
    });
}
