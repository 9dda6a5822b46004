//! Builds a filter (NIP-01) condition by condition.

use crate::nostr::bytes::{EventId, PublicKey};
use crate::nostr::event::MAX_CREATED_AT;
use crate::nostr::kind::Kind;

use super::parse::HEX_LIST;
use super::{Filter, FilterError, OneOf};
use crate::nostr::search::Search;
use crate::nostr::tag::TagName;

/// Builder methods. Setting a condition again replaces the earlier one.
impl Filter {
    /// A filter without conditions: every event matches.
    ///
    /// ```
    /// use openagents_host::nostr::Filter;
    ///
    /// let filter = Filter::new().kinds([1, 30023]).tag('t', ["nostr"]).unwrap().since(1_700_000_000).limit(100);
    /// assert_eq!(
    ///     serde_json::to_string(&filter).unwrap(),
    ///     r##"{"kinds":[1,30023],"#t":["nostr"],"since":1700000000,"limit":100}"##,
    /// );
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The event's id is one of these.
    #[must_use]
    pub fn ids(mut self, ids: impl IntoIterator<Item = EventId>) -> Self {
        self.ids = Some(ids.into_iter().collect());
        self
    }

    /// The event's author is one of these.
    #[must_use]
    pub fn authors(mut self, authors: impl IntoIterator<Item = PublicKey>) -> Self {
        self.authors = Some(authors.into_iter().collect());
        self
    }

    /// The event's kind is one of these.
    #[must_use]
    pub fn kinds(mut self, kinds: impl IntoIterator<Item = u16>) -> Self {
        self.kinds = Some(kinds.into_iter().map(Kind).collect());
        self
    }

    /// The event has a tag of this letter with one of these values. With several letters, all must match.
    ///
    /// # Errors
    /// Events can be found only by tags whose name is a single letter (a–z, A–Z), and by `e` and `p` only if every
    /// value is 64 lowercase hex characters (NIP-01). Says which of the two is violated: otherwise the filter would
    /// silently match nothing, or too much.
    ///
    /// ```
    /// use openagents_host::nostr::Filter;
    ///
    /// let answers = Filter::new().kinds([6050, 7000]).tag('e', ["ab".repeat(32)]).unwrap();
    /// assert!(answers.tag('e', ["no event id"]).is_err());
    /// assert!(Filter::new().tag('1', ["nostr"]).is_err());
    /// ```
    pub fn tag<T: Into<String>>(
        mut self,
        letter: char,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Self, FilterError> {
        let field = || format!("#{letter}");
        let name = TagName::new(letter.encode_utf8(&mut [0; 4]))
            .ok_or_else(|| FilterError::UnknownField(field()))?;
        let values: OneOf<String> = values.into_iter().map(Into::into).collect();
        if name.holds_hex() && values.iter().any(|value| EventId::from_hex(value).is_err()) {
            return Err(FilterError::Field { field: field(), expected: HEX_LIST });
        }
        self.tags.insert(name, values);
        Ok(self)
    }

    /// The event refers to one of these events with an `e` tag.
    #[must_use]
    pub fn events(mut self, ids: impl IntoIterator<Item = EventId>) -> Self {
        self.tags.insert(TagName::E, ids.into_iter().map(|id| id.to_hex()).collect());
        self
    }

    /// The event refers to one of these public keys with a `p` tag.
    #[must_use]
    pub fn pubkeys(mut self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        self.tags.insert(TagName::P, keys.into_iter().map(|key| key.to_hex()).collect());
        self
    }

    /// The event was created at or after this time (Unix seconds).
    #[must_use]
    pub fn since(mut self, seconds: u64) -> Self {
        self.since = Some(seconds.min(MAX_CREATED_AT));
        self
    }

    /// The event was created at or before this time (Unix seconds).
    #[must_use]
    pub fn until(mut self, seconds: u64) -> Self {
        self.until = Some(seconds.min(MAX_CREATED_AT));
        self
    }

    /// The event's text contains these words (NIP-50).
    #[must_use]
    pub fn search(mut self, search: Search) -> Self {
        self.search = Some(search);
        self
    }

    /// The maximum number of stored events to return: the newest, or the best matches of a search.
    #[must_use]
    pub fn limit(mut self, events: u64) -> Self {
        self.limit = Some(events);
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::nostr::bytes::{EventId, PublicKey};
    use crate::nostr::event::MAX_CREATED_AT;
    use proptest::prelude::*;

    use super::{Filter, FilterError};
    use crate::nostr::fixtures;

    /// One call of the builder with any arguments.
    #[derive(Clone, Debug)]
    enum Call {
        Ids(Vec<[u8; 32]>),
        Authors(Vec<[u8; 32]>),
        Kinds(Vec<u16>),
        Tag(char, Vec<String>),
        Since(u64),
        Until(u64),
        Limit(u64),
    }

    fn call() -> impl Strategy<Value = Call> {
        let letter =
            prop_oneof![prop::char::range('a', 'z'), prop::sample::select(&['e', 'p'][..]), any::<char>()];
        let value = prop_oneof![any::<String>(), "[0-9a-f]{64}", "[0-9A-F]{64}"];
        prop_oneof![
            prop::collection::vec(any::<[u8; 32]>(), 0..3).prop_map(Call::Ids),
            prop::collection::vec(any::<[u8; 32]>(), 0..3).prop_map(Call::Authors),
            prop::collection::vec(any::<u16>(), 0..3).prop_map(Call::Kinds),
            (letter, prop::collection::vec(value, 0..3))
                .prop_map(|(letter, values)| Call::Tag(letter, values)),
            any::<u64>().prop_map(Call::Since),
            any::<u64>().prop_map(Call::Until),
            any::<u64>().prop_map(Call::Limit),
        ]
    }

    fn build(calls: Vec<Call>) -> Filter {
        calls.into_iter().fold(Filter::new(), |filter, call| match call {
            Call::Ids(ids) => filter.ids(ids.into_iter().map(EventId::from_bytes)),
            Call::Authors(authors) => filter.authors(authors.into_iter().map(PublicKey::from_bytes)),
            Call::Kinds(kinds) => filter.kinds(kinds),
            Call::Tag(letter, values) => filter.clone().tag(letter, values).unwrap_or(filter),
            Call::Since(seconds) => filter.since(seconds),
            Call::Until(seconds) => filter.until(seconds),
            Call::Limit(events) => filter.limit(events),
        })
    }

    proptest! {
        #[test]
        fn whatever_is_built_comes_back_from_its_json(calls in prop::collection::vec(call(), 0..10)) {
            let filter = build(calls);
            let json = serde_json::to_string(&filter).unwrap();
            prop_assert_eq!(&Filter::from_json(&json).unwrap(), &filter);
            prop_assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
        }
    }

    #[test]
    fn builds_what_the_json_says() {
        let event = fixtures::signed(1, 5, &[&["t", "a"]]);
        let filter = Filter::new()
            .ids([event.id])
            .authors([event.pubkey])
            .kinds([7, 1, 7])
            .tag('t', ["b", "a"])
            .unwrap()
            .tag('p', [event.pubkey.to_hex()])
            .unwrap()
            .since(5)
            .until(u64::MAX)
            .limit(10);
        let (id, author) = (event.id, event.pubkey);
        let json = format!(
            r##"{{"ids":["{id}"],"authors":["{author}"],"kinds":[1,7],"#p":["{author}"],"#t":["a","b"],"since":5,"until":{MAX_CREATED_AT},"limit":10}}"##
        );
        assert_eq!(serde_json::to_string(&filter).unwrap(), json);
        assert!(!filter.matches(&event), "it has no p tag");
        assert!(Filter { tags: Filter::new().tag('t', ["a"]).unwrap().tags, ..filter }.matches(&event));
    }

    #[test]
    fn a_condition_given_again_takes_the_place_of_the_earlier_one() {
        let filter = |kind, topic| Filter::new().kinds([kind]).tag('t', [topic]).unwrap().limit(kind.into());
        assert_eq!(filter(1, "a").kinds([7]).tag('t', ["b"]).unwrap().limit(7), filter(7, "b"));
    }

    #[test]
    fn refuses_tags_that_cannot_be_searched_for_as_reading_does() {
        for letter in ['1', 'é', '#', ' '] {
            let error = Filter::new().tag(letter, ["a"]).unwrap_err();
            assert_eq!(error, FilterError::UnknownField(format!("#{letter}")));
            let json = serde_json::json!({ format!("#{letter}"): ["a"] }).to_string();
            assert_eq!(Filter::from_json(&json), Err(error));
        }
        for value in ["abc".to_owned(), "AB".repeat(32)] {
            let error = Filter::new().tag('e', ["ab".repeat(32), value.clone()]).unwrap_err();
            assert_eq!(error.to_string(), "\"#e\" must be a list of 64 lowercase hex characters each");
            let json = serde_json::json!({ "#e": [value] }).to_string();
            assert_eq!(Filter::from_json(&json), Err(error));
        }
    }
}
