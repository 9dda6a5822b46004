//! The `Range` header: requests for a range of bytes (RFC 9110, 14).

use http::Method;
use http::header::{self, HeaderMap, HeaderValue};

use super::conditional::{Validators, range_applies};

/// A range of bytes in a representation, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    first: u64,
    last: u64,
}

impl ByteRange {
    /// The position of the first byte, from 0.
    #[must_use]
    pub fn first(self) -> u64 {
        self.first
    }

    /// The position of the last byte; never before the first.
    #[must_use]
    pub fn last(self) -> u64 {
        self.last
    }

    /// The number of bytes.
    #[must_use]
    pub fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The `Content-Range` of a response (206) with this range, out of `length` bytes.
    #[must_use]
    pub fn content_range(self, length: u64) -> HeaderValue {
        content_range(&format!("bytes {}-{}/{length}", self.first, self.last))
    }
}

/// The `Content-Range` of a response (416) to a range outside of the `length` bytes.
#[must_use]
pub fn unsatisfied_content_range(length: u64) -> HeaderValue {
    content_range(&format!("bytes */{length}"))
}

fn content_range(text: &str) -> HeaderValue {
    // Digits and ASCII always form a valid value.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("bytes */*"))
}

/// The bytes that a request selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them (200).
    Whole,
    /// One range (206).
    Part(ByteRange),
    /// A range outside of the representation (416).
    Unsatisfiable,
}

/// Which of `length` bytes a request selects, after its other preconditions were evaluated.
///
/// Several ranges at once are answered with the whole, as RFC 9110 allows, and so are invalid headers.
#[must_use]
pub fn select(method: &Method, headers: &HeaderMap, current: &Validators, length: u64) -> Selection {
    let mut ranges = headers.get_all(header::RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Selection::Whole };
    // A range is defined for GET only.
    if method != Method::GET || !range_applies(headers, current) {
        return Selection::Whole;
    }
    range.to_str().map_or(Selection::Whole, |range| parse(range, length))
}

fn parse(range: &str, length: u64) -> Selection {
    one_range(range, length).unwrap_or(Selection::Whole)
}

/// `None` if it is not a single range of bytes.
fn one_range(range: &str, length: u64) -> Option<Selection> {
    let (unit, ranges) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Empty elements of a list are allowed.
    let mut ranges = ranges.split(',').map(str::trim).filter(|range| !range.is_empty());
    let (first, last) = ranges.next()?.split_once('-')?;
    if ranges.next().is_some() {
        return None;
    }
    let end = length.checked_sub(1);
    let (first, last) = match (first, last) {
        ("", suffix) => {
            let suffix = number(suffix)?;
            if suffix == 0 {
                return Some(Selection::Unsatisfiable);
            }
            // The last bytes of an empty representation cannot be expressed in `Content-Range`.
            (length.saturating_sub(suffix), end?)
        }
        (first, "") => (number(first)?, u64::MAX),
        (first, last) => (number(first)?, number(last)?),
    };
    if last < first {
        return None;
    }
    Some(match end {
        Some(end) if first <= end => Selection::Part(ByteRange { first, last: last.min(end) }),
        _ => Selection::Unsatisfiable,
    })
}

/// Parses digits only; saturates.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, header};
    use proptest::prelude::*;

    use super::{ByteRange, Selection, parse, select, unsatisfied_content_range};
    use crate::http::{ETag, Validators};
    use crate::time::Timestamp;

    fn part(first: u64, last: u64) -> Selection {
        Selection::Part(ByteRange { first, last })
    }

    #[test]
    fn selects_the_part_that_is_there() {
        for (range, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-9", part(0, 9)),
            ("bytes=3-5", part(3, 5)),
            ("bytes=3-", part(3, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=9-99", part(9, 9)),
            ("bytes=0-99999999999999999999999", part(0, 9)),
            ("Bytes= ,3-5 ,", part(3, 5)),
        ] {
            assert_eq!(parse(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn rejects_ranges_beyond_the_end() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(parse(range, 10), Selection::Unsatisfiable, "{range}");
        }
        assert_eq!(parse("bytes=0-", 0), Selection::Unsatisfiable);
        assert_eq!(parse("bytes=-5", 0), Selection::Whole);
        assert_eq!(unsatisfied_content_range(10), "bytes */10");
    }

    #[test]
    fn answers_with_the_whole_what_is_no_single_range() {
        for range in [
            "bytes=0-1,3-4",
            "bytes=5-3",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes 0-1",
            "lines=0-1",
            "",
        ] {
            assert_eq!(parse(range, 10), Selection::Whole, "{range}");
        }
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn applies_to_get_alone_and_to_one_header() {
        let one = headers(&[(header::RANGE, "bytes=0-1")]);
        let current = Validators::default();
        assert_eq!(select(&Method::GET, &one, &current, 10), part(0, 1));
        for method in [Method::HEAD, Method::POST] {
            assert_eq!(select(&method, &one, &current, 10), Selection::Whole);
        }
        let mut two = one;
        two.append(header::RANGE, HeaderValue::from_static("bytes=3-4"));
        assert_eq!(select(&Method::GET, &two, &current, 10), Selection::Whole);
        assert_eq!(select(&Method::GET, &HeaderMap::new(), &current, 10), Selection::Whole);
    }

    #[test]
    fn sends_the_whole_when_the_version_in_if_range_is_another() {
        let current =
            Validators { etag: ETag::strong("a"), last_modified: Some(Timestamp::from_seconds(784_111_777)) };
        for (if_range, applies) in [
            (r#""a""#, true),
            (r#""b""#, false),
            (r#"W/"a""#, false),
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Sun, 06 Nov 1994 08:49:38 GMT", false),
            ("nonsense", false),
        ] {
            let headers = headers(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, if_range)]);
            let expected = if applies { part(0, 1) } else { Selection::Whole };
            assert_eq!(select(&Method::GET, &headers, &current, 10), expected, "{if_range}");
        }
        let headers = headers(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, r#""a""#)]);
        assert_eq!(select(&Method::GET, &headers, &Validators::default(), 10), Selection::Whole);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_bytes(text in "bytes=[0-9]{0,3}-[0-9]{0,3}|bytes=.*|.*", length in 0_u64..200) {
            if let Selection::Part(range) = parse(&text, length) {
                prop_assert!(range.first() <= range.last() && range.last() < length);
                prop_assert!((1..=length).contains(&range.length()));
                let expected = format!("bytes {}-{}/{length}", range.first(), range.last());
                prop_assert_eq!(range.content_range(length), expected);
            }
        }

        #[test]
        fn selects_what_slicing_would(first in 0_usize..20, last in 0_usize..20, length in 0_usize..20) {
            let bytes: Vec<usize> = (0..length).collect();
            let expected: Vec<usize> = bytes.iter().copied().filter(|byte| (first..=last).contains(byte)).collect();
            match parse(&format!("bytes={first}-{last}"), length.try_into().unwrap()) {
                Selection::Whole => prop_assert!(last < first),
                Selection::Unsatisfiable => prop_assert!(first <= last && expected.is_empty()),
                Selection::Part(range) => {
                    prop_assert_eq!(Some(range.first()), expected.first().map(|first| *first as u64));
                    prop_assert_eq!(Some(range.last()), expected.last().map(|last| *last as u64));
                }
            }
        }
    }
}
