//! Conditional requests: `If-Match`, `If-None-Match` and the headers with dates (RFC 9110, 13).

use http::Method;
use http::header::{self, HeaderMap, HeaderName};

use super::date;
use super::etag::{ETag, parse_list};
use super::message::header_text;
use crate::time::Timestamp;

/// The current version of a representation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// Its entity tag, if it has one.
    pub etag: Option<ETag>,
    /// When it was last modified, to the second, if known.
    pub last_modified: Option<Timestamp>,
}

/// The result of evaluating the preconditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The request proceeds.
    Holds,
    /// The client already has this version (304).
    NotModified,
    /// The version differs from the one that the client expects (412).
    Failed,
}

/// Evaluates the preconditions of a request in the order of RFC 9110, 13.2.2. `current` is the current version, `None`
/// if there is no representation. [`range::select`](super::range::select) is evaluated afterwards.
#[must_use]
pub fn evaluate(method: &Method, headers: &HeaderMap, current: Option<&Validators>) -> Precondition {
    let last_modified = current.and_then(|current| current.last_modified);
    let if_match = names(headers, &header::IF_MATCH, current, ETag::matches_strongly);
    let since = |name: &HeaderName| last_modified.map(Timestamp::as_seconds).zip(seconds(headers, name));
    let is_expected = if_match.unwrap_or_else(|| {
        since(&header::IF_UNMODIFIED_SINCE).is_none_or(|(modified, since)| modified <= since)
    });
    if !is_expected {
        return Precondition::Failed;
    }
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let is_known = match names(headers, &header::IF_NONE_MATCH, current, ETag::matches_weakly) {
        Some(is_known) => is_known,
        // The date counts only if there is no tag.
        None => reads && since(&header::IF_MODIFIED_SINCE).is_some_and(|(modified, since)| modified <= since),
    };
    match (is_known, reads) {
        (false, _) => Precondition::Holds,
        (true, true) => Precondition::NotModified,
        (true, false) => Precondition::Failed,
    }
}

/// Whether `If-Range`, if there is one, names the current version exactly.
pub(super) fn range_applies(headers: &HeaderMap, current: &Validators) -> bool {
    if !headers.contains_key(header::IF_RANGE) {
        return true;
    }
    let validator = header_text(headers, &header::IF_RANGE);
    match ETag::parse(validator) {
        Some(tag) => current.etag.as_ref().is_some_and(|etag| etag.matches_strongly(&tag)),
        None => {
            let modified = current.last_modified.map(Timestamp::as_seconds);
            date::parse(validator).map(Timestamp::as_seconds).is_some_and(|date| modified == Some(date))
        }
    }
}

/// Whether a header names the current version, by its tag or as `*`; `None` without such a header.
fn names(
    headers: &HeaderMap,
    name: &HeaderName,
    current: Option<&Validators>,
    matches: fn(&ETag, &ETag) -> bool,
) -> Option<bool> {
    if !headers.contains_key(name) {
        return None;
    }
    let etag = current.and_then(|current| current.etag.as_ref());
    let mut lists = headers.get_all(name).iter().filter_map(|list| list.to_str().ok());
    Some(lists.any(|list| match list.trim() {
        "*" => current.is_some(),
        list => etag.is_some_and(|etag| parse_list(list).any(|named| matches(&named, etag))),
    }))
}

/// The date in a header; an invalid one is ignored.
fn seconds(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    date::parse(header_text(headers, name)).map(Timestamp::as_seconds)
}

#[cfg(test)]
mod tests {
    use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use proptest::prelude::*;

    use super::Precondition::{Failed, Holds, NotModified};
    use super::{ETag, Precondition, Validators, evaluate};
    use crate::http::date;
    use crate::time::Timestamp;

    const MODIFIED: u64 = 784_111_777;

    fn current() -> Validators {
        Validators { etag: ETag::strong("a"), last_modified: Some(Timestamp::from_seconds(MODIFIED)) }
    }

    fn date(seconds: u64) -> String {
        date::format(Timestamp::from_seconds(seconds))
    }

    fn with(method: &Method, headers: &[(HeaderName, &str)]) -> Precondition {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        evaluate(method, &headers, Some(&current()))
    }

    #[test]
    fn client_with_the_current_version_gets_304() {
        let (same, later, earlier) = (date(MODIFIED), date(MODIFIED + 1), date(MODIFIED - 1));
        for (header, expected) in [
            ((IF_NONE_MATCH, r#""a""#), NotModified),
            ((IF_NONE_MATCH, r#"W/"a""#), NotModified),
            ((IF_NONE_MATCH, r#""b", "a""#), NotModified),
            ((IF_NONE_MATCH, "*"), NotModified),
            ((IF_NONE_MATCH, r#""b""#), Holds),
            ((IF_NONE_MATCH, "nonsense"), Holds),
            ((IF_MODIFIED_SINCE, &same), NotModified),
            ((IF_MODIFIED_SINCE, &later), NotModified),
            ((IF_MODIFIED_SINCE, &earlier), Holds),
            ((IF_MODIFIED_SINCE, "yesterday"), Holds),
        ] {
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(with(&method, std::slice::from_ref(&header)), expected, "{header:?}");
            }
        }
    }

    #[test]
    fn write_over_another_version_gets_412() {
        let (same, earlier) = (date(MODIFIED), date(MODIFIED - 1));
        for (header, expected) in [
            ((IF_MATCH, r#""a""#), Holds),
            ((IF_MATCH, "*"), Holds),
            ((IF_MATCH, r#"W/"a""#), Failed),
            ((IF_MATCH, r#""b""#), Failed),
            ((IF_MATCH, "nonsense"), Failed),
            ((IF_NONE_MATCH, "*"), Failed),
            ((IF_NONE_MATCH, r#""a""#), Failed),
            ((IF_NONE_MATCH, r#""b""#), Holds),
            ((IF_UNMODIFIED_SINCE, &same), Holds),
            ((IF_UNMODIFIED_SINCE, &earlier), Failed),
            ((IF_UNMODIFIED_SINCE, "yesterday"), Holds),
            // It applies to GET and HEAD only.
            ((IF_MODIFIED_SINCE, &same), Holds),
        ] {
            assert_eq!(with(&Method::PUT, std::slice::from_ref(&header)), expected, "{header:?}");
        }
    }

    #[test]
    fn tags_take_precedence_over_dates() {
        let (same, earlier) = (date(MODIFIED), date(MODIFIED - 1));
        let get = |headers: &[_]| with(&Method::GET, headers);
        assert_eq!(get(&[(IF_NONE_MATCH, r#""b""#), (IF_MODIFIED_SINCE, &same)]), Holds);
        assert_eq!(get(&[(IF_NONE_MATCH, r#""a""#), (IF_MODIFIED_SINCE, &earlier)]), NotModified);
        assert_eq!(get(&[(IF_MATCH, r#""a""#), (IF_UNMODIFIED_SINCE, &earlier)]), Holds);
        assert_eq!(get(&[(IF_MATCH, r#""b""#), (IF_NONE_MATCH, r#""a""#)]), Failed);
        assert_eq!(get(&[(IF_MATCH, r#""a""#), (IF_NONE_MATCH, r#""a""#)]), NotModified);
    }

    #[test]
    fn where_nothing_is_yet_only_if_match_fails() {
        for (name, value, expected) in
            [(IF_MATCH, "*", Failed), (IF_NONE_MATCH, "*", Holds), (IF_NONE_MATCH, r#""a""#, Holds)]
        {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            assert_eq!(evaluate(&Method::PUT, &headers, None), expected, "{headers:?}");
        }
    }

    #[test]
    fn reads_the_tags_of_every_line_of_a_header() {
        let mut headers = HeaderMap::new();
        headers.append(IF_NONE_MATCH, HeaderValue::from_static(r#""b""#));
        headers.append(IF_NONE_MATCH, HeaderValue::from_static(r#""a""#));
        assert_eq!(evaluate(&Method::GET, &headers, Some(&current())), NotModified);
    }

    proptest! {
        /// The rules of RFC 9110, 13.2.2, step by step.
        #[test]
        fn follows_the_steps_of_the_rfc(
            if_match in prop::option::of(prop::sample::select(vec!["*", "\"a\"", "\"b\"", "W/\"a\""])),
            if_none_match in prop::option::of(prop::sample::select(vec!["*", "\"a\"", "\"b\"", "W/\"a\""])),
            unmodified in prop::option::of(MODIFIED - 2..MODIFIED + 2),
            modified in prop::option::of(MODIFIED - 2..MODIFIED + 2),
            method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::PUT, Method::DELETE]),
        ) {
            let reads = method == Method::GET || method == Method::HEAD;
            let expected = 'steps: {
                match (if_match, unmodified) {
                    (Some(tag), _) if tag == "\"b\"" || tag.starts_with('W') => break 'steps Failed,
                    (None, Some(since)) if MODIFIED > since => break 'steps Failed,
                    _ => {}
                }
                match (if_none_match, modified) {
                    (Some("\"b\""), _) => Holds,
                    (Some(_), _) => if reads { NotModified } else { Failed },
                    (None, Some(since)) if reads && MODIFIED <= since => NotModified,
                    _ => Holds,
                }
            };
            let (unmodified, modified) = (unmodified.map(date), modified.map(date));
            let headers: Vec<_> = [
                (IF_MATCH, if_match),
                (IF_NONE_MATCH, if_none_match),
                (IF_UNMODIFIED_SINCE, unmodified.as_deref()),
                (IF_MODIFIED_SINCE, modified.as_deref()),
            ].into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            prop_assert_eq!(with(&method, &headers), expected);
        }
    }
}
