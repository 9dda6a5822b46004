//! The open subscriptions, and the index that finds those that match an event.
//!
//! Every filter of every subscription is in one index, under its most selective condition. An event is looked up there
//! by its id, tags, author and kind, so the cost depends on the number of subscriptions that it matches, not on the
//! number of all subscriptions.

mod compact_filter;
mod index;

use std::cell::OnceCell;
use std::collections::BTreeMap;

use openagents_host::Event;
use serde_json::value::RawValue;

use self::compact_filter::CompactFilter;
use self::index::{ENTRY_BYTES, Entry, Index, Slot};
use crate::limits::Limits;
use crate::reason::{Prefix, Reason};
use crate::session::ConnectionId;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::SubscriptionId;
use openagents_host::nostr::search::SearchableText;

/// The subscriptions of all connections.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    sessions: BTreeMap<ConnectionId, ConnectionSubscriptions>,
    /// The subscriptions by slot. A free slot is reused.
    subscriptions: Vec<Option<Subscription>>,
    vacant: Vec<Slot>,
    index: Index,
}

#[derive(Debug, Default)]
struct ConnectionSubscriptions {
    slots: BTreeMap<SubscriptionId, Slot>,
    size: FiltersSize,
}

#[derive(Debug)]
struct Subscription {
    connection: ConnectionId,
    id: SubscriptionId,
    filters: Box<[CompactFilter]>,
    size: FiltersSize,
    /// Approximately how many bytes of memory it takes.
    memory: usize,
}

/// The memory of a subscription besides its filters: its id and its places in the tables, in bytes.
const SUBSCRIPTION_BYTES: usize = 384;

/// The size of filters, as limited per connection.
#[derive(Clone, Copy, Debug, Default)]
struct FiltersSize {
    /// In bytes of JSON.
    length: usize,
    /// How many values their lists have.
    values: usize,
    /// How many of them have a search.
    searches: usize,
}

impl FiltersSize {
    fn of(filters: &[Filter]) -> Self {
        Self {
            // Filters always serialize.
            length: serde_json::to_string(filters).map_or(usize::MAX, |json| json.len()),
            values: filters.iter().map(Filter::value_count).fold(0, usize::saturating_add),
            searches: filters.iter().filter(|filter| filter.search.is_some()).count(),
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            length: self.length.saturating_add(other.length),
            values: self.values.saturating_add(other.values),
            searches: self.searches.saturating_add(other.searches),
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            length: self.length.saturating_sub(other.length),
            values: self.values.saturating_sub(other.values),
            searches: self.searches.saturating_sub(other.searches),
        }
    }

    /// Whether a connection may have filters of this size in total.
    fn admit(self, limits: &Limits) -> Result<(), Reason> {
        let text = if self.searches > limits.max_search_filters {
            let limit = limits.max_search_filters;
            format!("a connection can have at most {limit} filters with a search in its subscriptions")
        } else if self.length > limits.max_filters_length {
            let limit = limits.max_filters_length;
            format!("the filters of a connection can have at most {limit} bytes in total")
        } else if self.values > limits.max_connection_values {
            let limit = limits.max_connection_values;
            format!("the filters of a connection can have at most {limit} values in total")
        } else {
            return Ok(());
        };
        Err(Reason::new(Prefix::Restricted, text))
    }
}

impl Subscriptions {
    /// Adds a connection without subscriptions.
    pub(crate) fn open(&mut self, connection: ConnectionId) {
        self.sessions.entry(connection).or_default();
    }

    /// Removes a connection and its subscriptions.
    pub(crate) fn close(&mut self, connection: ConnectionId) {
        if let Some(session) = self.sessions.remove(&connection) {
            for slot in session.slots.into_values() {
                self.vacate(slot);
            }
        }
    }

    /// Adds a subscription; it replaces one with the same id on the same connection.
    ///
    /// # Errors
    /// When the connection would exceed a limit. Its subscriptions are then unchanged.
    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        id: &SubscriptionId,
        filters: &[Filter],
        limits: &Limits,
    ) -> Result<(), Reason> {
        let size = FiltersSize::of(filters);
        let session = self.sessions.entry(connection).or_default();
        let replaced = session.slots.get(id).copied();
        if replaced.is_none() && session.slots.len() >= limits.max_subscriptions {
            let limit = limits.max_subscriptions;
            return Err(Reason::new(
                Prefix::Restricted,
                format!("a connection can have at most {limit} subscriptions"),
            ));
        }
        let old = replaced.and_then(|slot| slot.of(&self.subscriptions));
        let total = session.size.minus(old.map_or_else(FiltersSize::default, |old| old.size)).plus(size);
        total.admit(limits)?;
        self.unsubscribe(connection, id);
        let filters = filters.iter().map(CompactFilter::of).collect();
        let slot = self.occupy(Subscription { connection, id: id.clone(), filters, size, memory: 0 });
        let session = self.sessions.entry(connection).or_default();
        session.slots.insert(id.clone(), slot);
        session.size = total;
        Ok(())
    }

    /// Whether the subscription with this id has these filters.
    #[must_use]
    pub(crate) fn has_filters(
        &self,
        connection: ConnectionId,
        id: &SubscriptionId,
        filters: &[Filter],
    ) -> bool {
        let slot = self.sessions.get(&connection).and_then(|session| session.slots.get(id));
        slot.and_then(|slot| slot.of(&self.subscriptions)).is_some_and(|found| {
            found.filters.iter().eq(filters.iter().map(CompactFilter::of).collect::<Vec<_>>().iter())
        })
    }

    /// Ends a subscription; returns whether it existed.
    pub(crate) fn unsubscribe(&mut self, connection: ConnectionId, id: &SubscriptionId) -> bool {
        let Some(session) = self.sessions.get_mut(&connection) else { return false };
        let Some(slot) = session.slots.remove(id) else { return false };
        if let Some(old) = slot.of(&self.subscriptions) {
            session.size = session.size.minus(old.size);
        }
        self.vacate(slot);
        true
    }

    /// The subscriptions that match the event, each once.
    pub(crate) fn matching(&self, event: &Event) -> impl Iterator<Item = (ConnectionId, &SubscriptionId)> {
        let mut slots: Vec<Slot> = Vec::new();
        // The event's text is extracted once, and only if a filter searches.
        let text = OnceCell::new();
        let words = OnceCell::new();
        let text = || text.get_or_init(|| SearchableText::of(event));
        let words = || words.get_or_init(|| text().distinct_words());
        self.index.candidates(event, words, &mut |entry| {
            let subscription = entry.slot.of(&self.subscriptions);
            let filter = usize::try_from(entry.filter).ok();
            let filter = subscription.zip(filter).and_then(|(found, filter)| found.filters.get(filter));
            if filter
                .is_some_and(|filter| filter.matches(event, |search| search.matches_among(words(), text())))
            {
                slots.push(entry.slot);
            }
        });
        slots.sort_unstable();
        slots.dedup();
        slots.into_iter().filter_map(|slot| {
            let subscription = slot.of(&self.subscriptions)?;
            Some((subscription.connection, &subscription.id))
        })
    }

    /// Approximately how many bytes of memory a connection's subscriptions take.
    pub(crate) fn memory_bytes(&self, connection: ConnectionId) -> usize {
        let slots = self.sessions.get(&connection).into_iter().flat_map(|session| session.slots.values());
        let subscriptions = slots.filter_map(|slot| slot.of(&self.subscriptions));
        subscriptions.map(|subscription| subscription.memory).fold(0, usize::saturating_add)
    }

    /// A connection's subscriptions as compact JSON for [`restore`](Self::restore).
    #[must_use]
    pub(crate) fn saved(&self, connection: ConnectionId) -> String {
        let mut json = String::from("{");
        for (id, slot) in self.sessions.get(&connection).into_iter().flat_map(|session| &session.slots) {
            let Some(subscription) = slot.of(&self.subscriptions) else { continue };
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(id.as_json());
            json.push(':');
            // Filters always serialize.
            let filters: Vec<Filter> = subscription.filters.iter().map(CompactFilter::to_filter).collect();
            json.push_str(&serde_json::to_string(&filters).unwrap_or_default());
        }
        json.push('}');
        json
    }

    /// Restores a connection with its [`saved`](Self::saved) subscriptions.
    ///
    /// Subscriptions of an older release that cannot be parsed are left out: some subscriptions are better than none.
    pub(crate) fn restore(&mut self, connection: ConnectionId, saved: &str, limits: &Limits) {
        self.open(connection);
        let saved: BTreeMap<String, Vec<&RawValue>> = serde_json::from_str(saved).unwrap_or_default();
        for (id, filters) in saved {
            let filters: Result<Vec<Filter>, _> =
                filters.iter().map(|json| Filter::from_json(json.get())).collect();
            if let (Ok(id), Ok(filters)) = (SubscriptionId::new(&id), filters) {
                // They were within the limits when they were saved.
                let _ = self.subscribe(connection, &id, &filters, limits);
            }
        }
    }

    fn occupy(&mut self, mut subscription: Subscription) -> Slot {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.subscriptions.push(None);
            Slot::last_of(&self.subscriptions)
        });
        subscription.memory = SUBSCRIPTION_BYTES;
        for (number, filter) in (0..).zip(&subscription.filters) {
            let keys = self.index.insert(Entry { slot, filter: number }, filter);
            let memory = filter.memory_bytes().saturating_add(keys.saturating_mul(ENTRY_BYTES));
            subscription.memory = subscription.memory.saturating_add(memory);
        }
        if let Some(place) = slot.of_mut(&mut self.subscriptions) {
            *place = Some(subscription);
        }
        slot
    }

    fn vacate(&mut self, slot: Slot) {
        if let Some(subscription) = slot.of_mut(&mut self.subscriptions).and_then(Option::take) {
            for (number, filter) in (0..).zip(&subscription.filters) {
                self.index.remove(Entry { slot, filter: number }, filter);
            }
            self.vacant.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::Subscriptions;
    use crate::fixtures;
    use crate::limits::Limits;
    use crate::reason::Prefix;
    use crate::session::ConnectionId;
    use openagents_host::nostr::filter::Filter;
    use openagents_host::nostr::message::SubscriptionId;
    use openagents_host::nostr::search::SearchableText;

    #[derive(Clone, Debug)]
    enum SubscriptionStep {
        Subscribe(u64, usize, Vec<Filter>),
        Unsubscribe(u64, usize),
        Close(u64),
    }

    fn step() -> impl Strategy<Value = SubscriptionStep> {
        prop_oneof![
            6 => (0..3_u64, 0..3_usize, prop::collection::vec(fixtures::filter(), 1..3)).prop_map(|(c, s, f)| SubscriptionStep::Subscribe(c, s, f)),
            2 => (0..3_u64, 0..3_usize).prop_map(|(c, s)| SubscriptionStep::Unsubscribe(c, s)),
            1 => (0..3_u64).prop_map(SubscriptionStep::Close),
        ]
    }

    fn name(number: usize) -> SubscriptionId {
        SubscriptionId::new(["a", "b\"", "é"][number]).unwrap()
    }

    proptest! {
        #[test]
        fn matches_exactly_the_right_subscriptions(
            steps in prop::collection::vec(step(), 0..30), events in fixtures::events(1..8), restored in any::<bool>(),
        ) {
            let limits = Limits::default();
            let mut subscriptions = Subscriptions::default();
            let mut naive: BTreeMap<(ConnectionId, SubscriptionId), Vec<Filter>> = BTreeMap::new();
            for step in steps {
                match step {
                    SubscriptionStep::Subscribe(connection, id, filters) => {
                        let connection = ConnectionId::new(connection);
                        subscriptions.subscribe(connection, &name(id), &filters, &limits).unwrap();
                        naive.insert((connection, name(id)), filters);
                    }
                    SubscriptionStep::Unsubscribe(connection, id) => {
                        subscriptions.unsubscribe(ConnectionId::new(connection), &name(id));
                        naive.remove(&(ConnectionId::new(connection), name(id)));
                    }
                    SubscriptionStep::Close(connection) => {
                        subscriptions.close(ConnectionId::new(connection));
                        naive.retain(|(open, _), _| *open != ConnectionId::new(connection));
                    }
                }
            }
            if restored {
                let mut again = Subscriptions::default();
                for connection in subscriptions.sessions.keys().copied() {
                    again.restore(connection, &subscriptions.saved(connection), &limits);
                    prop_assert_eq!(again.saved(connection), subscriptions.saved(connection));
                }
                subscriptions = again;
            }
            for event in &events {
                let mut told: Vec<_> = subscriptions.matching(event).map(|(connection, id)| (connection, id.clone())).collect();
                told.sort();
                let expected = naive.iter().filter(|(_, filters)| filters.iter().any(|filter| filter.matches(event)));
                prop_assert_eq!(told, expected.map(|(key, _)| key.clone()).collect::<Vec<_>>());
            }
        }

        #[test]
        fn leaves_nothing_behind(steps in prop::collection::vec(step(), 0..30)) {
            let mut subscriptions = Subscriptions::default();
            for step in steps {
                if let SubscriptionStep::Subscribe(connection, id, filters) = step {
                    subscriptions.subscribe(ConnectionId::new(connection), &name(id), &filters, &Limits::default()).unwrap();
                }
            }
            for connection in 0..3 {
                subscriptions.close(ConnectionId::new(connection));
            }
            prop_assert!(subscriptions.index.is_empty());
            prop_assert_eq!(subscriptions.vacant.len(), subscriptions.subscriptions.len());
        }
    }

    #[test]
    fn a_connection_has_its_limits_and_replacing_does_not_count_twice() {
        let filter = Filter::from_json(r##"{"#t":["a"]}"##).unwrap();
        let length = serde_json::to_string(&[&filter]).unwrap().len();
        let limits = Limits { max_subscriptions: 2, max_filters_length: 3 * length, ..Limits::default() };
        let connection = ConnectionId::new(1);
        let mut subscriptions = Subscriptions::default();
        let mut subscribe = |id, filters: usize| {
            subscriptions
                .subscribe(connection, &name(id), &vec![filter.clone(); filters], &limits)
                .map_err(|reason| reason.prefix)
        };
        assert_eq!(subscribe(0, 1), Ok(()));
        assert_eq!(subscribe(1, 1), Ok(()));
        assert_eq!(subscribe(2, 1), Err(Prefix::Restricted));
        for _ in 0..5 {
            assert_eq!(subscribe(1, 2), Ok(()));
        }
        assert_eq!(subscribe(1, 9), Err(Prefix::Restricted));
        let event = fixtures::signed(1, 1, &[&["t", "a"]]);
        assert_eq!(subscriptions.matching(&event).count(), 2, "a refused subscription leaves the old one");
        subscriptions.unsubscribe(connection, &name(0));
        assert_eq!(subscriptions.subscribe(connection, &name(2), &[filter], &limits), Ok(()));
    }

    #[test]
    fn a_connection_has_only_so_many_values() {
        let limits = Limits { max_connection_values: 5, ..Limits::default() };
        let connection = ConnectionId::new(1);
        let mut subscriptions = Subscriptions::default();
        let filter = Filter::new().kinds([1, 2]).tag('t', ["a"]).unwrap();
        let mut subscribe = |id, filters: usize| {
            let filters = vec![filter.clone(); filters];
            subscriptions.subscribe(connection, &name(id), &filters, &limits).map_err(|reason| reason.prefix)
        };
        assert_eq!(subscribe(0, 1), Ok(()));
        assert_eq!(subscribe(1, 1), Err(Prefix::Restricted));
        assert_eq!(subscribe(0, 2), Err(Prefix::Restricted));
        assert_eq!(subscribe(0, 1), Ok(()), "those that it replaces do not count");
        assert!(subscriptions.unsubscribe(connection, &name(0)));
        assert_eq!(subscriptions.subscribe(connection, &name(1), &[filter], &limits), Ok(()));
    }

    /// The values of an attacker are short, since each costs the relay more than its length.
    #[test]
    fn subscriptions_take_a_few_times_the_bytes_of_their_filters() {
        let (mut subscriptions, connection) = (Subscriptions::default(), ConnectionId::new(1));
        let short = (0..5_000).map(|number| format!("{number:x}"));
        let hex = (0..1_000).map(|number| format!("{number:064x}"));
        let requests = [
            (vec![Filter::new().tag('t', short).unwrap()], 7),
            (vec![Filter::new().tag('e', hex).unwrap()], 2),
            (vec![Filter::new().kinds(10_000..15_000)], 6),
        ];
        for (filters, most) in requests {
            subscriptions.subscribe(connection, &name(0), &filters, &Limits::default()).unwrap();
            let json = serde_json::to_string(&filters).unwrap().len();
            let memory = subscriptions.memory_bytes(connection);
            assert!(memory > 5_000 && memory < most * json, "{memory} bytes for {json}");
        }
        subscriptions.close(connection);
        assert_eq!(subscriptions.memory_bytes(connection), 0);
    }

    #[test]
    fn a_connection_has_only_so_many_searches() {
        let limits = Limits { max_search_filters: 2, ..Limits::default() };
        let connection = ConnectionId::new(1);
        let mut subscriptions = Subscriptions::default();
        let search = Filter::from_json(r#"{"search":"nostr"}"#).unwrap();
        let mut subscribe = |id, filters: &[&Filter]| {
            let filters: Vec<Filter> = filters.iter().copied().cloned().collect();
            subscriptions.subscribe(connection, &name(id), &filters, &limits).map_err(|reason| reason.prefix)
        };
        assert_eq!(subscribe(0, &[&search, &Filter::new()]), Ok(()));
        assert_eq!(subscribe(1, &[&search, &search]), Err(Prefix::Restricted));
        assert_eq!(subscribe(0, &[&search, &search]), Ok(()), "those that it replaces do not count");
        assert_eq!(subscribe(1, &[&search]), Err(Prefix::Restricted));
        assert_eq!(subscribe(1, &[&Filter::new()]), Ok(()));
        assert_eq!(subscribe(0, &[&search]), Ok(()));
        assert_eq!(subscribe(1, &[&search]), Ok(()));
        assert!(subscriptions.unsubscribe(connection, &name(1)));
        assert_eq!(subscriptions.subscribe(connection, &name(2), &[search], &limits), Ok(()));
    }

    #[test]
    fn a_search_is_looked_at_only_by_events_with_its_word() {
        let mut subscriptions = Subscriptions::default();
        let searches = [r#"{"search":"nostr relays","kinds":[1]}"#, r#"{"search":"rel"}"#];
        let searches = searches.map(|json| Filter::from_json(json).unwrap());
        subscriptions.subscribe(ConnectionId::new(1), &name(0), &searches, &Limits::default()).unwrap();
        let looked_at = |content: &str| {
            let event = fixtures::signed_by(&fixtures::keys(0), 1, 1, &[], content);
            let text = SearchableText::of(&event);
            let (words, mut count) = (text.distinct_words(), 0);
            subscriptions.index.candidates(&event, || &words, &mut |_| count += 1);
            (count, subscriptions.matching(&event).count())
        };
        // One has no whole word, so it must always be evaluated.
        assert_eq!(looked_at("something else"), (1, 0));
        assert_eq!(looked_at("relays"), (1, 1));
        assert_eq!(looked_at("nostr relays"), (2, 1));
        assert_eq!(looked_at("nostr"), (2, 0));
    }

    #[test]
    fn restores_what_it_can_of_a_damaged_state() {
        let mut subscriptions = Subscriptions::default();
        let connection = ConnectionId::new(1);
        subscriptions.restore(connection, r#"{"a":[{}],"b":[{"future":1}],"":[{}]}"#, &Limits::default());
        assert_eq!(subscriptions.saved(connection), r#"{"a":[{}]}"#);
        subscriptions.restore(ConnectionId::new(2), "nonsense", &Limits::default());
        assert!(subscriptions.sessions.contains_key(&ConnectionId::new(2)));
    }
}
