//! Entity tags: versions of a representation (RFC 9110, 8.8.3).

use std::fmt;

/// An entity tag, such as `"5d8c72a5"`, or `W/"3"` for a weak one.
///
/// ```
/// use openagents_host::http::ETag;
///
/// let etag = ETag::strong("5d8c72a5").unwrap();
/// assert_eq!(etag.to_string(), "\"5d8c72a5\"");
/// assert_eq!(ETag::parse("\"5d8c72a5\""), Some(etag));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ETag {
    is_weak: bool,
    tag: String,
}

impl ETag {
    /// The tag of a version that is identical byte for byte; `None` if it has a character that is not allowed.
    #[must_use]
    pub fn strong(tag: &str) -> Option<Self> {
        tag.bytes().all(is_tag_byte).then(|| Self { is_weak: false, tag: tag.to_owned() })
    }

    /// The tag of a version that is only semantically equivalent; `None` if it has a character that is not allowed.
    #[must_use]
    pub fn weak(tag: &str) -> Option<Self> {
        Some(Self { is_weak: true, ..Self::strong(tag)? })
    }

    /// Parses one tag and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (tag, rest) = Self::parse_first(text)?;
        rest.is_empty().then_some(tag)
    }

    /// Parses the tag at the beginning, and returns the rest.
    fn parse_first(text: &str) -> Option<(Self, &str)> {
        // The `W` is case-sensitive.
        let (is_weak, quoted) = match text.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let (tag, rest) = quoted.strip_prefix('"')?.split_once('"')?;
        Some((Self { is_weak, ..Self::strong(tag)? }, rest))
    }

    /// Strong comparison: both represent identical bytes. Weak tags never match.
    #[must_use]
    pub fn matches_strongly(&self, other: &Self) -> bool {
        !self.is_weak && !other.is_weak && self.tag == other.tag
    }

    /// Weak comparison: both represent equivalent content.
    #[must_use]
    pub fn matches_weakly(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\"{}\"", if self.is_weak { "W/" } else { "" }, self.tag)
    }
}

/// Visible ASCII except the quote. Other characters are obsolete.
fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"'
}

/// The tags of a list, such as `"a", W/"b,c"`, up to the first syntax error.
pub(super) fn parse_list(list: &str) -> impl Iterator<Item = ETag> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        // Empty elements are allowed.
        let (tag, after) = ETag::parse_first(rest?.trim_start_matches([',', ' ', '\t']))?;
        rest = Some(after).filter(|after| after.trim_start_matches([' ', '\t']).starts_with(','));
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ETag, parse_list};

    fn list(text: &str) -> Vec<String> {
        parse_list(text).map(|tag| tag.to_string()).collect()
    }

    #[test]
    fn compares_weak_and_strong_tags_as_rfc_9110_does() {
        let (weak, strong) = (ETag::weak("1").unwrap(), ETag::strong("1").unwrap());
        for (one, other, strongly, weakly) in [
            (&weak, &weak, false, true),
            (&weak, &strong, false, true),
            (&strong, &strong, true, true),
            (&strong, &ETag::strong("2").unwrap(), false, false),
            (&weak, &ETag::weak("2").unwrap(), false, false),
        ] {
            assert_eq!((one.matches_strongly(other), one.matches_weakly(other)), (strongly, weakly));
        }
    }

    #[test]
    fn reads_lists_with_commas_inside_of_tags() {
        assert_eq!(list(r#""a", W/"b,c" ,,"d""#), [r#""a""#, r#"W/"b,c""#, r#""d""#]);
        assert_eq!(list(r#", "a""#), [r#""a""#]);
        assert_eq!(list(""), [""; 0]);
    }

    #[test]
    fn reads_a_list_up_to_the_first_mistake() {
        assert_eq!(list(r#""a", b, "c""#), [r#""a""#]);
        assert_eq!(list(r#""a" "b""#), [r#""a""#]);
        assert_eq!(list(r#"w/"a""#), [""; 0]);
        assert_eq!(list(r#""a"#), [""; 0]);
    }

    #[test]
    fn rejects_tags_with_characters_that_end_them() {
        for tag in ["a\"b", "a b", "a\r\nb", "é"] {
            assert_eq!((ETag::strong(tag), ETag::weak(tag)), (None, None), "{tag:?}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(tags in prop::collection::vec(("[!#-~]{0,9}", any::<bool>()), 0..5)) {
            let tags: Vec<_> =
                tags.iter().map(|(tag, weak)| if *weak { ETag::weak(tag) } else { ETag::strong(tag) }.unwrap()).collect();
            let written: Vec<_> = tags.iter().map(ETag::to_string).collect();
            prop_assert_eq!(parse_list(&written.join(", ")).collect::<Vec<_>>(), tags);
        }

        #[test]
        fn reading_never_panics(text in any::<String>()) {
            let _ = (ETag::parse(&text), parse_list(&text).count());
        }
    }
}
