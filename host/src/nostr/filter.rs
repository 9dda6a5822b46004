//! Filters (NIP-01): the conditions of subscriptions and queries.

mod build;
mod one_of;
mod parse;
mod size;

use std::collections::BTreeMap;

use crate::nostr::bytes::{EventId, PublicKey};
use crate::nostr::event::Event;
use crate::nostr::kind::Kind;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

pub use one_of::OneOf;
pub use parse::FilterError;

use crate::nostr::search::{Search, SearchableText};
use crate::nostr::tag::TagName;

/// Conditions for events. An event matches if all given conditions hold; a condition with an empty list never holds.
///
/// A filter is built ([`Filter::new`]) or parsed from JSON, and serializes as that JSON.
///
/// ```
/// use openagents_host::nostr::Filter;
///
/// let filter = Filter::from_json(r##"{"kinds":[5050],"#t":["a","b"],"limit":10}"##).unwrap();
/// assert_eq!(serde_json::to_string(&filter).unwrap(), r##"{"kinds":[5050],"#t":["a","b"],"limit":10}"##);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The event's id is one of these.
    pub ids: Option<OneOf<EventId>>,
    /// The event's author is one of these.
    pub authors: Option<OneOf<PublicKey>>,
    /// The event's kind is one of these.
    pub kinds: Option<OneOf<Kind>>,
    /// For each tag name, the event has such a tag with one of these values.
    pub tags: BTreeMap<TagName, OneOf<String>>,
    /// The event was created at or after this time (Unix seconds).
    pub since: Option<u64>,
    /// The event was created at or before this time (Unix seconds).
    pub until: Option<u64>,
    /// The event's text contains these words (NIP-50).
    pub search: Option<Search>,
    /// The maximum number of stored events to return. It does not limit new events.
    pub limit: Option<u64>,
}

impl Filter {
    /// Parses a filter strictly: if an unknown field were ignored, the client would get events that it did not
    /// request.
    ///
    /// # Errors
    /// Which field is unknown or has the wrong form.
    pub fn from_json(json: &str) -> Result<Self, FilterError> {
        parse::filter(json)
    }

    /// Whether the event matches, regardless of `limit`.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.matches_with(event, |search| search.matches(&SearchableText::of(event)))
    }

    /// The same, but the caller evaluates the search: once for several filters, or not at all.
    pub fn matches_with(&self, event: &Event, finds: impl FnOnce(&Search) -> bool) -> bool {
        self.since.is_none_or(|since| since <= event.created_at)
            && self.until.is_none_or(|until| event.created_at <= until)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind))
            && self.authors.as_ref().is_none_or(|authors| authors.contains(&event.pubkey))
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&event.id))
            && self.tags.iter().all(|(name, values)| has_tag(event, *name, values))
            && self.search.as_ref().is_none_or(finds)
    }

    /// Whether no event can ever match.
    #[must_use]
    pub fn matches_nothing(&self) -> bool {
        self.ids.as_ref().is_some_and(OneOf::is_empty)
            || self.authors.as_ref().is_some_and(OneOf::is_empty)
            || self.kinds.as_ref().is_some_and(OneOf::is_empty)
            || self.tags.values().any(OneOf::is_empty)
            || matches!((self.since, self.until), (Some(since), Some(until)) if since > until)
    }
}

fn has_tag(event: &Event, name: TagName, values: &OneOf<String>) -> bool {
    event.tags.iter().any(|tag| match tag.as_slice() {
        [first, value, ..] => TagName::new(first) == Some(name) && values.contains(value.as_str()),
        _ => false,
    })
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(ids) = &self.ids {
            map.serialize_entry("ids", ids)?;
        }
        if let Some(authors) = &self.authors {
            map.serialize_entry("authors", authors)?;
        }
        if let Some(kinds) = &self.kinds {
            map.serialize_entry("kinds", kinds)?;
        }
        for (name, values) in &self.tags {
            map.serialize_entry(&format_args!("#{}", name.letter()), values)?;
        }
        if let Some(search) = &self.search {
            map.serialize_entry("search", search)?;
        }
        for (field, value) in [("since", self.since), ("until", self.until), ("limit", self.limit)] {
            if let Some(value) = value {
                map.serialize_entry(field, &value)?;
            }
        }
        map.end()
    }
}

/// As strict as [`Filter::from_json`], and for JSON only.
impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(json.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Filter;
    use crate::nostr::fixtures;

    proptest! {
        #[test]
        fn comes_back_from_its_json(filter in fixtures::filter()) {
            let json = serde_json::to_string(&filter).unwrap();
            prop_assert_eq!(Filter::from_json(&json).unwrap(), filter);
        }

        #[test]
        fn an_event_matches_the_filter_made_of_it_and_no_filter_made_of_something_else(
            event in fixtures::event(), other in fixtures::event(),
        ) {
            let of = |event: &crate::nostr::event::Event| Filter {
                ids: Some([event.id].into_iter().collect()),
                authors: Some([event.pubkey].into_iter().collect()),
                kinds: Some([event.kind].into_iter().collect()),
                since: Some(event.created_at),
                until: Some(event.created_at),
                ..Filter::default()
            };
            prop_assert!(of(&event).matches(&event));
            prop_assert_eq!(of(&other).matches(&event), event.id == other.id);
            prop_assert!(Filter::default().matches(&event));
        }

        #[test]
        fn what_matches_nothing_matches_no_event(filter in fixtures::filter(), event in fixtures::event()) {
            prop_assert!(!(filter.matches_nothing() && filter.matches(&event)));
        }
    }

    #[test]
    fn is_read_in_a_list_as_strictly_as_alone() {
        let filters: Vec<Filter> = serde_json::from_str(r##"[{"kinds":[1]}, {}]"##).unwrap();
        assert_eq!(filters, [Filter::new().kinds([1]), Filter::new()]);
        let value = serde_json::json!({ "#t": ["a"] });
        assert_eq!(serde_json::from_value::<Filter>(value).unwrap(), Filter::new().tag('t', ["a"]).unwrap());
        let error = serde_json::from_str::<Vec<Filter>>(r#"[{}, {"language":"x"}]"#).unwrap_err().to_string();
        assert!(error.starts_with("filter contains the unknown field \"language\""), "{error}");
    }

    #[test]
    fn only_the_first_value_of_a_tag_counts() {
        let event = fixtures::signed(1, 1, &[&["t", "first", "second"], &["long", "value"], &["t"]]);
        assert!(Filter::from_json(r##"{"#t":["first"]}"##).unwrap().matches(&event));
        assert!(!Filter::from_json(r##"{"#t":["second"]}"##).unwrap().matches(&event));
        assert!(!Filter::from_json(r##"{"#t":["first"],"#T":["first"]}"##).unwrap().matches(&event));
    }

    #[test]
    fn both_ends_of_the_time_range_belong_to_it() {
        let event = fixtures::signed(1, 100, &[]);
        for (range, matches) in
            [(r#"{"since":100,"until":100}"#, true), (r#"{"since":101}"#, false), (r#"{"until":99}"#, false)]
        {
            assert_eq!(Filter::from_json(range).unwrap().matches(&event), matches, "{range}");
        }
    }
}
