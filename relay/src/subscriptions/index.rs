//! The index of subscriptions, by the most selective condition of each filter.

use std::collections::{BTreeMap, BTreeSet};

use openagents_host::{Event, EventId, Kind, PublicKey};

use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::search::Search;
use openagents_host::nostr::tag::TagKey;

/// The position of a subscription in the list of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(usize);

impl Slot {
    pub(super) const fn last_of<T>(slots: &[T]) -> Self {
        Self(slots.len().saturating_sub(1))
    }

    pub(super) fn of<T>(self, slots: &[Option<T>]) -> Option<&T> {
        slots.get(self.0)?.as_ref()
    }

    pub(super) fn of_mut<T>(self, slots: &mut [Option<T>]) -> Option<&mut Option<T>> {
        slots.get_mut(self.0)
    }
}

/// One filter of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) slot: Slot,
    /// The position of the filter in its subscription.
    pub(super) filter: usize,
}

/// Ordered maps, not hash maps: clients choose the keys, and could attack a hash map with a predictable seed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Index {
    by_id: BTreeMap<EventId, BTreeSet<Entry>>,
    by_tag: BTreeMap<TagKey, BTreeSet<Entry>>,
    by_author: BTreeMap<PublicKey, BTreeSet<Entry>>,
    /// Filters with a search, each under one of its words.
    by_word: BTreeMap<Box<str>, BTreeSet<Entry>>,
    by_kind: BTreeMap<Kind, BTreeSet<Entry>>,
    all: BTreeSet<Entry>,
}

/// The condition under whose values a filter is indexed.
enum IndexKey<'a> {
    Ids(&'a openagents_host::nostr::filter::OneOf<EventId>),
    Tags(Vec<TagKey>),
    Authors(&'a openagents_host::nostr::filter::OneOf<PublicKey>),
    Word(&'a str),
    Kinds(&'a openagents_host::nostr::filter::OneOf<Kind>),
    All,
    /// The filter matches nothing.
    Nowhere,
}

impl<'a> IndexKey<'a> {
    fn of(filter: &'a Filter) -> Self {
        let fewest_tags = filter.tags.iter().min_by_key(|(_, values)| values.len());
        if filter.matches_nothing() {
            Self::Nowhere
        } else if let Some(ids) = &filter.ids {
            Self::Ids(ids)
        } else if let Some((name, values)) = fewest_tags {
            Self::Tags(values.iter().map(|value| TagKey::new(*name, value)).collect())
        } else if let Some(authors) = &filter.authors {
            Self::Authors(authors)
        } else if let Some(word) = filter.search.as_ref().and_then(Search::whole_word) {
            Self::Word(word)
        } else if let Some(kinds) = &filter.kinds {
            Self::Kinds(kinds)
        } else {
            Self::All
        }
    }
}

impl Index {
    pub(super) fn insert(&mut self, entry: Entry, filter: &Filter) {
        match IndexKey::of(filter) {
            IndexKey::Ids(ids) => insert(&mut self.by_id, ids.iter().copied(), entry),
            IndexKey::Tags(keys) => insert(&mut self.by_tag, keys, entry),
            IndexKey::Authors(authors) => insert(&mut self.by_author, authors.iter().copied(), entry),
            IndexKey::Word(word) => insert(&mut self.by_word, [word.into()], entry),
            IndexKey::Kinds(kinds) => insert(&mut self.by_kind, kinds.iter().copied(), entry),
            IndexKey::All => drop(self.all.insert(entry)),
            IndexKey::Nowhere => {}
        }
    }

    pub(super) fn remove(&mut self, entry: Entry, filter: &Filter) {
        match IndexKey::of(filter) {
            IndexKey::Ids(ids) => remove(&mut self.by_id, ids, entry),
            IndexKey::Tags(keys) => remove(&mut self.by_tag, &keys, entry),
            IndexKey::Authors(authors) => remove(&mut self.by_author, authors, entry),
            IndexKey::Word(word) => remove(&mut self.by_word, [&Box::from(word)], entry),
            IndexKey::Kinds(kinds) => remove(&mut self.by_kind, kinds, entry),
            IndexKey::All => drop(self.all.remove(&entry)),
            IndexKey::Nowhere => {}
        }
    }

    /// Passes the filters that may match the event to `each`; the same one may come repeatedly. The event's words are
    /// computed only if there are searches.
    pub(super) fn candidates<'w>(
        &self,
        event: &Event,
        words: impl Fn() -> &'w BTreeSet<&'w str>,
        each: &mut dyn FnMut(Entry),
    ) {
        let mut found = |entries: Option<&BTreeSet<Entry>>| {
            entries.into_iter().flatten().for_each(|entry| each(*entry));
        };
        found(Some(&self.all));
        found(self.by_kind.get(&event.kind));
        found(self.by_author.get(&event.pubkey));
        found(self.by_id.get(&event.id));
        if !self.by_tag.is_empty() {
            TagKey::of(event).iter().for_each(|key| found(self.by_tag.get(key)));
        }
        if !self.by_word.is_empty() {
            words().iter().for_each(|word| found(self.by_word.get(*word)));
        }
    }
}

fn insert<K: Ord>(map: &mut BTreeMap<K, BTreeSet<Entry>>, keys: impl IntoIterator<Item = K>, entry: Entry) {
    for key in keys {
        map.entry(key).or_default().insert(entry);
    }
}

fn remove<'k, K: Ord + 'k>(
    map: &mut BTreeMap<K, BTreeSet<Entry>>,
    keys: impl IntoIterator<Item = &'k K>,
    entry: Entry,
) {
    for key in keys {
        if let Some(entries) = map.get_mut(key) {
            entries.remove(&entry);
            if entries.is_empty() {
                map.remove(key);
            }
        }
    }
}
