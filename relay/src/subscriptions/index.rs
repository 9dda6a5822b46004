//! The index of subscriptions, by the most selective condition of each filter.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use openagents_host::{Event, EventId, Kind, PublicKey};

use super::compact_filter::CompactFilter;
use openagents_host::nostr::search::Search;
use openagents_host::nostr::tag::TagName;

/// The position of a subscription in the list of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u32);

impl Slot {
    pub(super) fn last_of<T>(slots: &[T]) -> Self {
        Self(u32::try_from(slots.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    pub(super) fn of<T>(self, slots: &[Option<T>]) -> Option<&T> {
        slots.get(usize::try_from(self.0).ok()?)?.as_ref()
    }

    pub(super) fn of_mut<T>(self, slots: &mut [Option<T>]) -> Option<&mut Option<T>> {
        slots.get_mut(usize::try_from(self.0).ok()?)
    }
}

/// One filter of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) slot: Slot,
    /// The position of the filter in its subscription.
    pub(super) filter: u32,
}

impl Entry {
    const FIRST: Self = Self { slot: Slot(0), filter: 0 };
    const LAST: Self = Self { slot: Slot(u32::MAX), filter: u32::MAX };
}

/// The memory of an entry under one key, in bytes: 16, in a tree whose nodes are about two thirds full.
pub(super) const ENTRY_BYTES: usize = 28;

/// The entries under the hashes of their keys, which are short whatever the values are.
///
/// Different keys may have the same hash: an entry found under it only may match. This gives an attacker nothing that
/// subscribing to the same value does not. It is an ordered set, whose cost does not depend on how hashes are
/// distributed.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeSet<(u64, Entry)>,
    /// How many entries are under a word.
    words: usize,
    hasher: RandomState,
}

/// A value of a condition, under which a filter is indexed.
#[derive(Hash)]
enum Key<'a> {
    Id(&'a EventId),
    Tag(char, &'a str),
    Author(&'a PublicKey),
    /// A word of its search.
    Word(&'a str),
    Kind(Kind),
    /// The filter has no condition that could be a key.
    Any,
}

/// Passes the keys of a filter to `each`: the values of the condition that matches the fewest events. A filter that
/// matches nothing has none.
fn each_key(filter: &CompactFilter, each: &mut dyn FnMut(Key<'_>)) {
    let others = filter.others();
    if filter.matches_nothing() {
    } else if let Some(ids) = &others.ids {
        ids.iter().for_each(|id| each(Key::Id(id)));
    } else if let Some((name, values)) = filter.rarest_tag() {
        values.for_each(|value| each(Key::Tag(name.letter(), value)));
    } else if let Some(authors) = &others.authors {
        authors.iter().for_each(|author| each(Key::Author(author)));
    } else if let Some(word) = others.search.as_ref().and_then(Search::whole_word) {
        each(Key::Word(word));
    } else if let Some(kinds) = &others.kinds {
        kinds.iter().for_each(|kind| each(Key::Kind(*kind)));
    } else {
        each(Key::Any);
    }
}

impl Index {
    /// Adds a filter; returns under how many keys.
    pub(super) fn insert(&mut self, entry: Entry, filter: &CompactFilter) -> usize {
        let Self { entries, words, hasher } = self;
        let mut keys: usize = 0;
        each_key(filter, &mut |key| {
            *words = words.saturating_add(usize::from(matches!(key, Key::Word(_))));
            keys = keys.saturating_add(1);
            entries.insert((hasher.hash_one(key), entry));
        });
        keys
    }

    pub(super) fn remove(&mut self, entry: Entry, filter: &CompactFilter) {
        let Self { entries, words, hasher } = self;
        each_key(filter, &mut |key| {
            *words = words.saturating_sub(usize::from(matches!(key, Key::Word(_))));
            entries.remove(&(hasher.hash_one(key), entry));
        });
    }

    /// Passes the filters that may match the event to `each`; the same one may come repeatedly. The event's words are
    /// computed only if there are searches.
    pub(super) fn candidates<'w>(
        &self,
        event: &Event,
        words: impl Fn() -> &'w BTreeSet<&'w str>,
        each: &mut dyn FnMut(Entry),
    ) {
        if self.entries.is_empty() {
            return;
        }
        let hash = |key: Key<'_>| self.hasher.hash_one(key);
        let mut hashes = vec![
            hash(Key::Any),
            hash(Key::Kind(event.kind)),
            hash(Key::Author(&event.pubkey)),
            hash(Key::Id(&event.id)),
        ];
        hashes.extend(event.tags.iter().filter_map(|tag| match tag.as_slice() {
            [name, value, ..] => Some(hash(Key::Tag(TagName::new(name)?.letter(), value))),
            _ => None,
        }));
        if self.words > 0 {
            hashes.extend(words().iter().map(|word| hash(Key::Word(word))));
        }
        // A tag that is repeated is looked up once.
        hashes.sort_unstable();
        hashes.dedup();
        for hash in hashes {
            let range = (hash, Entry::FIRST)..=(hash, Entry::LAST);
            self.entries.range(range).for_each(|(_, entry)| each(*entry));
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.words == 0
    }
}
