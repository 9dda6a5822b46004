//! Indexed tags (NIP-01): tags with a one-letter name, by whose first value events can be found.

use crate::nostr::bytes::EventId;
use std::collections::BTreeSet;
use std::fmt;

use crate::nostr::event::Event;

/// The name of an indexed tag: one letter, a–z or A–Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagName(u8);

impl TagName {
    /// The tag that refers to an event (NIP-01).
    pub const E: Self = Self(b'e');
    /// The tag with the kind of another event (NIP-09, NIP-89).
    pub const K: Self = Self(b'k');
    /// The tag that refers to a public key (NIP-01).
    pub const P: Self = Self(b'p');

    /// The name, if it is a single letter.
    ///
    /// ```
    /// use openagents_host::nostr::tag::TagName;
    ///
    /// assert!(TagName::new("e").is_some());
    /// assert!(TagName::new("expiration").is_none() && TagName::new("1").is_none() && TagName::new("é").is_none());
    /// ```
    #[must_use]
    pub const fn new(name: &str) -> Option<Self> {
        match name.as_bytes() {
            [letter] if letter.is_ascii_alphabetic() => Some(Self(*letter)),
            _ => None,
        }
    }

    /// The letter.
    #[must_use]
    pub const fn letter(self) -> char {
        self.0 as char
    }

    /// Whether NIP-01 requires values of exactly 64 lowercase hex characters.
    #[must_use]
    pub const fn holds_hex(self) -> bool {
        matches!(self.0, b'e' | b'p')
    }
}

impl fmt::Debug for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.letter())
    }
}

/// The index key of a tag, in memory and in the database: name and value combined.
///
/// The letter, followed by the value as UTF-8. If the value is 64 lowercase hex characters, as most are (an id or a
/// public key), it is stored as 32 bytes, and the high bit of the letter is set: this halves the largest index of the
/// store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TagKey(Box<[u8]>);

impl TagKey {
    /// The key of a tag with this name and value.
    #[must_use]
    pub fn new(name: TagName, value: &str) -> Self {
        const PACKED: u8 = 0x80;
        let mut bytes = [0; 32];
        let (letter, value) = match EventId::from_hex(value) {
            Ok(id) => {
                bytes.copy_from_slice(id.as_bytes());
                (name.0 | PACKED, bytes.as_slice())
            }
            Err(_) => (name.0, value.as_bytes()),
        };
        let mut key = Vec::with_capacity(value.len().saturating_add(1));
        key.push(letter);
        key.extend_from_slice(value);
        Self(key.into())
    }

    /// The keys of all indexed tags of an event, without duplicates.
    #[must_use]
    pub fn of(event: &Event) -> BTreeSet<Self> {
        let key = |tag: &Vec<String>| Some(Self::new(TagName::new(tag.first()?)?, tag.get(1)?));
        event.tags.iter().filter_map(key).collect()
    }

    /// The bytes as stored in the database.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{TagKey, TagName};

    proptest! {
        #[test]
        fn different_tags_have_different_keys(
            a in ("[a-zA-Z]", prop_oneof!["[0-9a-f]{64}", ".{0,4}"]),
            b in ("[a-zA-Z]", prop_oneof!["[0-9a-f]{64}", ".{0,4}"]),
        ) {
            let key = |(name, value): &(String, String)| TagKey::new(TagName::new(name).unwrap(), value);
            prop_assert_eq!(a == b, key(&a) == key(&b));
        }
    }

    #[test]
    fn packs_hex_only_when_it_comes_back_the_same() {
        let name = TagName::new("e").unwrap();
        assert_eq!(TagKey::new(name, &"ab".repeat(32)).as_bytes().len(), 33);
        assert_eq!(TagKey::new(name, &"AB".repeat(32)).as_bytes().len(), 65);
        assert_ne!(TagKey::new(name, &"ab".repeat(32)), TagKey::new(name, &"AB".repeat(32)));
    }
}
