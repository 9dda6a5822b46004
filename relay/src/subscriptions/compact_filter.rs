//! A subscription's filter (NIP-01) in a compact form: about as many bytes as its JSON.

use std::collections::BTreeMap;

use openagents_host::Event;
use openagents_host::nostr::filter::{Filter, OneOf};
use openagents_host::nostr::search::Search;
use openagents_host::nostr::tag::TagName;

/// A filter without its `limit`, which says nothing about new events.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CompactFilter {
    /// The conditions other than tags.
    others: Filter,
    /// For each tag name, the values of which the event must have one.
    tags: Box<[(TagName, TagValues)]>,
}

impl CompactFilter {
    pub(super) fn of(filter: &Filter) -> Self {
        let Filter { ids, authors, kinds, since, until, search, .. } = filter;
        let others = Filter {
            ids: ids.clone(),
            authors: authors.clone(),
            kinds: kinds.clone(),
            tags: BTreeMap::new(),
            since: *since,
            until: *until,
            search: search.clone(),
            limit: None,
        };
        let tags = filter.tags.iter().map(|(name, values)| (*name, TagValues::of(values)));
        Self { others, tags: tags.collect() }
    }

    /// The conditions other than tags.
    pub(super) const fn others(&self) -> &Filter {
        &self.others
    }

    /// The tag with the fewest values.
    pub(super) fn rarest_tag(&self) -> Option<(TagName, impl Iterator<Item = &str>)> {
        let (name, values) = self.tags.iter().min_by_key(|(_, values)| values.len())?;
        Some((*name, values.iter()))
    }

    pub(super) const fn has_search(&self) -> bool {
        self.others.search.is_some()
    }

    /// Whether the event matches. `finds` evaluates the search.
    pub(super) fn matches(&self, event: &Event, finds: impl FnOnce(&Search) -> bool) -> bool {
        let has_tags = || self.tags.iter().all(|(name, values)| values.are_in(event, *name));
        // Tags are compared after what is cheaper, and before the search.
        let others = self.others.matches_with(event, |search| has_tags() && finds(search));
        others && (self.has_search() || has_tags())
    }

    /// Whether no event can ever match.
    pub(super) fn matches_nothing(&self) -> bool {
        self.others.matches_nothing() || self.tags.iter().any(|(_, values)| values.len() == 0)
    }

    /// The filter as it was, except for its `limit`.
    pub(super) fn to_filter(&self) -> Filter {
        let tags = self.tags.iter().map(|(name, values)| (*name, values.iter().map(str::to_owned).collect()));
        Filter { tags: tags.collect(), ..self.others.clone() }
    }

    /// Approximately how many bytes of memory it takes, without the index.
    pub(super) fn memory_bytes(&self) -> usize {
        let tags = self.tags.iter().map(|(_, values)| values.memory_bytes());
        tags.fold(self.others.memory_bytes().saturating_add(size_of_val(&*self.tags)), usize::saturating_add)
    }
}

/// The values of a tag, sorted, in one text. As single strings, short values would take many times their length.
#[derive(Debug, PartialEq, Eq)]
struct TagValues {
    text: Box<str>,
    /// Where each value ends in the text.
    ends: Box<[u32]>,
}

impl TagValues {
    fn of(values: &OneOf<String>) -> Self {
        let mut text = String::with_capacity(values.iter().map(String::len).fold(0, usize::saturating_add));
        let mut ends = Vec::with_capacity(values.len());
        for value in values {
            text.push_str(value);
            // A message has far fewer bytes than 2³².
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self { text: text.into(), ends: ends.into() }
    }

    const fn len(&self) -> usize {
        self.ends.len()
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|position| self.at(position))
    }

    fn at(&self, position: usize) -> &str {
        let end = |position: usize| {
            self.ends.get(position).map_or(0, |end| usize::try_from(*end).unwrap_or(usize::MAX))
        };
        let begin = position.checked_sub(1).map_or(0, end);
        self.text.get(begin..end(position)).unwrap_or_default()
    }

    fn contains(&self, value: &str) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.at(middle).cmp(value) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle.saturating_add(1),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    /// Whether one of the values is that of such a tag of the event.
    fn are_in(&self, event: &Event, name: TagName) -> bool {
        event.tags.iter().any(|tag| match tag.as_slice() {
            [first, value, ..] => TagName::new(first) == Some(name) && self.contains(value),
            _ => false,
        })
    }

    fn memory_bytes(&self) -> usize {
        self.text.len().saturating_add(size_of_val(&*self.ends))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::CompactFilter;
    use crate::fixtures;
    use openagents_host::nostr::filter::Filter;
    use openagents_host::nostr::search::SearchableText;

    proptest! {
        #[test]
        fn matches_as_the_filter_does_and_gives_it_back(
            filter in fixtures::filter(), events in fixtures::events(1..8),
        ) {
            let compact = CompactFilter::of(&filter);
            for event in &events {
                let matches = compact.matches(event, |search| search.matches(&SearchableText::of(event)));
                prop_assert_eq!(matches, filter.matches(event));
            }
            prop_assert_eq!(compact.matches_nothing(), filter.matches_nothing());
            prop_assert_eq!(compact.to_filter(), Filter { limit: None, ..filter });
        }
    }

    #[test]
    fn finds_values_of_any_length_and_no_parts_of_them() {
        let values = ["", "a", "ab", "abc", "b", "é", "日本"];
        let compact = CompactFilter::of(&Filter::new().tag('t', values).unwrap());
        let has = |value: &str| compact.matches(&fixtures::signed(1, 1, &[&["t", value]]), |_| true);
        assert!(values.into_iter().all(has));
        assert!(!["aa", "bc", "c", "日", "éa", "z"].into_iter().any(has));
    }
}
