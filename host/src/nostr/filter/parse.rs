//! Parsing a filter from JSON (NIP-01), strictly.

use std::collections::BTreeSet;
use std::fmt;

use crate::nostr::bytes::EventId;
use crate::nostr::event::MAX_CREATED_AT;
use crate::nostr::kind::Kind;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use super::{Filter, OneOf};
use crate::nostr::reason::Reason;
use crate::nostr::search::Search;
use crate::nostr::tag::TagName;

/// Why a text is not a valid filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// It is not a JSON object.
    #[error("a filter must be a JSON object")]
    NotAnObject,
    /// An unknown field.
    #[error("filter contains the unknown field {0:?}")]
    UnknownField(String),
    /// A field that occurs twice.
    #[error("filter contains the field {0:?} twice")]
    Repeated(String),
    /// A field with a value of the wrong form.
    #[error("{field:?} must be {expected}")]
    Field {
        /// The name of the field.
        field: String,
        /// The form that its value must have.
        expected: &'static str,
    },
}

impl From<FilterError> for Reason {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::UnknownField(_) => Self::unsupported(error.to_string()),
            _ => Self::invalid(error.to_string()),
        }
    }
}

pub(super) const HEX_LIST: &str = "a list of 64 lowercase hex characters each";
const KIND_LIST: &str = "a list of integers";
const TEXT: &str = "a string";
const TEXT_LIST: &str = "a list of strings";
const SECONDS: &str = "a number of seconds that is an integer and not negative";
const COUNT: &str = "an integer that is not negative";

/// 2⁶³. Integers beyond it are read as floating-point numbers, and such numbers have no fraction.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// How many characters of an unknown field's name are repeated in the error.
const SHOWN: usize = 32;

pub(super) fn filter(json: &str) -> Result<Filter, FilterError> {
    let Fields(fields) = serde_json::from_str(json).map_err(|_| FilterError::NotAnObject)?;
    let mut filter = Filter::default();
    let mut seen = BTreeSet::new();
    for (field, value) in fields {
        match field.as_str() {
            "ids" => filter.ids = Some(list(&field, value, HEX_LIST)?),
            "authors" => filter.authors = Some(list(&field, value, HEX_LIST)?),
            "kinds" => filter.kinds = Some(kinds(&field, value)?),
            "since" => filter.since = Some(seconds(&field, value)?),
            "until" => filter.until = Some(seconds(&field, value)?),
            "search" => {
                let text: String = read(&field, value, TEXT)?;
                let search = Search::parse(&text)
                    .map_err(|expected| FilterError::Field { field: field.clone(), expected })?;
                filter.search = Some(search);
            }
            "limit" => filter.limit = Some(read(&field, value, COUNT)?),
            other => {
                let Some(name) = other.strip_prefix('#').and_then(TagName::new) else {
                    return Err(FilterError::UnknownField(field.chars().take(SHOWN).collect()));
                };
                filter.tags.insert(name, tag_values(&field, value, name)?);
            }
        }
        if let Some(field) = seen.replace(field) {
            return Err(FilterError::Repeated(field));
        }
    }
    Ok(filter)
}

fn tag_values(field: &str, value: &RawValue, name: TagName) -> Result<OneOf<String>, FilterError> {
    if name.holds_hex() {
        let ids: OneOf<EventId> = list(field, value, HEX_LIST)?;
        Ok(ids.iter().map(EventId::to_hex).collect())
    } else {
        list(field, value, TEXT_LIST)
    }
}

fn list<T: DeserializeOwned + Ord>(
    field: &str,
    value: &RawValue,
    expected: &'static str,
) -> Result<OneOf<T>, FilterError> {
    Ok(read::<Vec<T>>(field, value, expected)?.into_iter().collect())
}

/// NIP-01 only asks for numbers. A number that is not a kind matches no event; clients use some to get an answer without
/// events (NDK's keep-alive asks for kind 99999).
fn kinds(field: &str, value: &RawValue) -> Result<OneOf<Kind>, FilterError> {
    let numbers: Vec<Number> = read(field, value, KIND_LIST)?;
    let is_integer = |number: &Number| {
        number.is_u64() || number.is_i64() || number.as_f64().is_some_and(|number| number.abs() >= TWO_TO_63)
    };
    if !numbers.iter().all(is_integer) {
        return Err(FilterError::Field { field: field.to_owned(), expected: KIND_LIST });
    }
    let kind = |number: &Number| number.as_u64().and_then(|number| u16::try_from(number).ok()).map(Kind);
    Ok(numbers.iter().filter_map(kind).collect())
}

/// A time later than any event can have is treated as the latest possible one.
fn seconds(field: &str, value: &RawValue) -> Result<u64, FilterError> {
    Ok(read::<u64>(field, value, SECONDS)?.min(MAX_CREATED_AT))
}

fn read<T: DeserializeOwned>(
    field: &str,
    value: &RawValue,
    expected: &'static str,
) -> Result<T, FilterError> {
    serde_json::from_str(value.get()).map_err(|_| FilterError::Field { field: field.to_owned(), expected })
}

/// The fields of an object, unparsed, so that a wrong one can be named.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FilterError, Kind, MAX_CREATED_AT, filter};

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[\[\]{}":,#a-z0-9 ]{0,40}"#) {
            let _ = filter(&text);
        }
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let id = "ab".repeat(32);
        for (json, field) in [
            (r#"{"ids":["abc"]}"#.to_owned(), "ids"),
            (format!(r#"{{"ids":["{}"]}}"#, id.to_uppercase()), "ids"),
            (format!(r#"{{"authors":["{id}",7]}}"#), "authors"),
            (format!(r#"{{"authors":"{id}"}}"#), "authors"),
            (r#"{"kinds":["1"]}"#.into(), "kinds"),
            (r#"{"kinds":[1.5]}"#.into(), "kinds"),
            (r#"{"kinds":[1e3]}"#.into(), "kinds"),
            (r#"{"kinds":null}"#.into(), "kinds"),
            (r##"{"#e":["event"]}"##.into(), "#e"),
            (r##"{"#p":[""]}"##.into(), "#p"),
            (r##"{"#t":[1]}"##.into(), "#t"),
            (r#"{"since":-1}"#.into(), "since"),
            (r#"{"until":"1"}"#.into(), "until"),
            (r#"{"limit":1.5}"#.into(), "limit"),
            (r#"{"search":["x"]}"#.into(), "search"),
            (r#"{"search":"language:en"}"#.into(), "search"),
        ] {
            assert!(
                matches!(filter(&json), Err(FilterError::Field { field: found, .. }) if found == field),
                "{json}"
            );
        }
    }

    #[test]
    fn refuses_what_it_does_not_know_instead_of_ignoring_it() {
        for (json, field) in [
            (r#"{"searches":"x"}"#, "searches"),
            (r##"{"#ee":["x"]}"##, "#ee"),
            (r##"{"&t":["x"]}"##, "&t"),
            (r##"{"#":[]}"##, "#"),
        ] {
            assert_eq!(filter(json), Err(FilterError::UnknownField(field.into())), "{json}");
        }
        assert_eq!(filter(r#"{"limit":1,"limit":2}"#), Err(FilterError::Repeated("limit".into())));
        for json in ["[]", "null", "1", "\"kinds\"", "{", ""] {
            assert_eq!(filter(json), Err(FilterError::NotAnObject), "{json}");
        }
    }

    #[test]
    fn a_number_that_is_no_kind_matches_nothing() {
        let kinds = |json: &str| filter(json).unwrap().kinds.unwrap().iter().copied().collect::<Vec<_>>();
        for number in ["65536", "99999", "-1", "18446744073709551616", "-9223372036854775809"] {
            assert_eq!(kinds(&format!(r#"{{"kinds":[{number}]}}"#)), [], "{number}");
            assert_eq!(kinds(&format!(r#"{{"kinds":[1,{number}]}}"#)), [Kind(1)], "{number}");
        }
    }

    #[test]
    fn takes_times_beyond_all_events_for_the_last_one_possible() {
        assert_eq!(filter(r#"{"until":18446744073709551615}"#).unwrap().until, Some(MAX_CREATED_AT));
    }

    #[test]
    fn survives_deep_nesting() {
        let deep = format!(r##"{{"#t":{}}}"##, "[".repeat(100_000));
        assert_eq!(filter(&deep), Err(FilterError::NotAnObject));
        let deep = format!(r##"{{"#t":{}{}}}"##, "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(filter(&deep), Err(FilterError::Field { .. })));
    }
}
