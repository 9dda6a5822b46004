//! Nostr events (NIP-01): unsigned, received, and verified.
//!
//! An [`Event`] is only well-formed. Events are stored, matched and passed on only as [`VerifiedEvent`]. There are two
//! ways to create one: [`Event::verify`], and signing an [`UnsignedEvent`].

mod serialisation;

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::serialisation::JsonParts;
use super::bytes::{EventId, PublicKey, Signature};
use super::keys::Keys;
use super::kind::Kind;
use super::schnorr::{self, SignedMessage};
use crate::json_object::JsonObject;
use crate::time::Timestamp;

/// A tag: its name, its value, and further elements.
pub type Tag = Vec<String>;

/// The largest `created_at` that every host can store exactly (JavaScript's largest safe integer).
pub const MAX_CREATED_AT: u64 = (1 << 53) - 1;

/// An event as it was received: well-formed, but its id and signature may be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Event {
    /// The claimed id: the hash of the fields below, except the signature.
    pub id: EventId,
    /// The claimed author.
    pub pubkey: PublicKey,
    /// When its author claims to have created it, in seconds since the Unix epoch.
    pub created_at: u64,
    /// The kind: what the event means.
    pub kind: Kind,
    /// The tags.
    pub tags: Vec<Tag>,
    /// The content, whose form depends on the kind.
    pub content: String,
    /// The claimed signature of the id.
    pub sig: Signature,
}

/// Reads an event from a JSON object only: what is derived for the fields would also read an array of their values.
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields(Event);

        impl<'de> Deserialize<'de> for Fields {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Event::deserialize(deserializer).map(Self)
            }
        }

        JsonObject::deserialize(deserializer).map(|JsonObject(Fields(event))| event)
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Why the id or the signature of an event is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The id is not the hash of the other fields.
    #[error("the id is not the SHA-256 of the event, which is {expected}")]
    Id {
        /// The correct id.
        expected: EventId,
    },
    /// The signature does not fit id and pubkey.
    #[error("the signature does not fit the id and the pubkey")]
    Signature,
    /// `created_at` is larger than [`MAX_CREATED_AT`].
    #[error("created_at must be at most {MAX_CREATED_AT}")]
    CreatedAt,
    /// A tag without a name.
    #[error("a tag must have at least one element")]
    EmptyTag,
}

impl Event {
    /// Parses an event from JSON.
    ///
    /// # Errors
    /// When the text is not a JSON object with the seven fields of NIP-01 in the correct form.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// Checks id and signature (NIP-01).
    ///
    /// # Errors
    /// Which of them is wrong.
    pub fn verify(self) -> Result<VerifiedEvent, VerifyError> {
        let texts = self.check_form()?;
        if !schnorr::verify(&self.pubkey, self.id.as_bytes(), &self.sig) {
            return Err(VerifyError::Signature);
        }
        Ok(VerifiedEvent::of(self, &texts))
    }

    /// Checks ids and signatures of many events, which takes less time than each alone where signatures are
    /// [verified together](schnorr::verify_all). The outcomes are in the order of the events.
    #[must_use]
    pub fn verify_all(events: Vec<Self>) -> Vec<Result<VerifiedEvent, VerifyError>> {
        let texts: Vec<_> = events.iter().map(Self::check_form).collect();
        let signed: Vec<SignedMessage<'_>> = events
            .iter()
            .zip(&texts)
            .filter(|(_, texts)| texts.is_ok())
            .map(|(event, _)| event.signed())
            .collect();
        let mut are_valid = schnorr::verify_all(&signed).into_iter();
        let outcome = |(event, texts): (Self, Result<JsonParts, VerifyError>)| {
            let texts = texts?;
            if are_valid.next() != Some(true) {
                return Err(VerifyError::Signature);
            }
            Ok(VerifiedEvent::of(event, &texts))
        };
        events.into_iter().zip(texts).map(outcome).collect()
    }

    /// All checks but that of the signature.
    fn check_form(&self) -> Result<JsonParts, VerifyError> {
        if self.created_at > MAX_CREATED_AT {
            return Err(VerifyError::CreatedAt);
        }
        if self.tags.iter().any(Vec::is_empty) {
            return Err(VerifyError::EmptyTag);
        }
        serialisation::check_id(self)
    }

    fn signed(&self) -> SignedMessage<'_> {
        SignedMessage { public_key: &self.pubkey, message: self.id.as_bytes(), signature: &self.sig }
    }

    /// Whether the id is the hash of the other fields (NIP-01). Says nothing about the signature.
    #[must_use]
    pub fn has_valid_id(&self) -> bool {
        serialisation::check_id(self).is_ok()
    }

    /// Whether this is the [JSON](VerifiedEvent::json) of this event, signature included.
    #[must_use]
    pub fn is_serialized_as(&self, json: &str) -> bool {
        JsonParts::of(&self.tags, &self.content).json(self) == json
    }

    /// The values (second elements) of all tags with this name, in order.
    pub fn tag_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.tags_named(name).filter_map(|tag| tag.get(1)).map(String::as_str)
    }

    /// The value of the only tag with this name. If there are two, neither counts, because another implementation might use
    /// the other one.
    #[must_use]
    pub fn only_tag_value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.tag_values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// All tags with this name, in order.
    pub fn tags_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Tag> {
        self.tags.iter().filter(move |tag| tag.first().is_some_and(|first| first == name))
    }

    /// The `d` value, which identifies an addressable event together with pubkey and kind; empty if there is none
    /// (NIP-01).
    #[must_use]
    pub fn identifier(&self) -> &str {
        self.tag_values("d").next().unwrap_or_default()
    }
}

/// An event whose id and signature are valid, with the JSON in which it is sent.
///
/// Cheap to clone: all clones share one copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEvent(Arc<Verified>);

#[derive(Debug, PartialEq, Eq)]
struct Verified {
    event: Event,
    json: Arc<str>,
}

impl VerifiedEvent {
    fn of(event: Event, texts: &JsonParts) -> Self {
        let json = texts.json(&event).into();
        Self(Arc::new(Verified { event, json }))
    }

    /// The event as JSON. The same text is stored and sent.
    #[must_use]
    pub fn json(&self) -> &Arc<str> {
        &self.0.json
    }
}

impl Deref for VerifiedEvent {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.0.event
    }
}

/// An event to be signed.
///
/// ```
/// use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent};
///
/// let keys = Keys::generate().unwrap();
/// let event = UnsignedEvent::new(Kind(1), "hello").tag(["t", "greeting"]).sign(&keys, Timestamp::from_seconds(1_700_000_000));
/// assert_eq!(event.pubkey, keys.public_key());
/// assert_eq!(event.tag_values("t").collect::<Vec<_>>(), ["greeting"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsignedEvent {
    kind: Kind,
    tags: Vec<Tag>,
    content: String,
}

impl UnsignedEvent {
    /// An event without tags.
    pub fn new(kind: impl Into<Kind>, content: impl Into<String>) -> Self {
        Self { kind: kind.into(), tags: Vec::new(), content: content.into() }
    }

    /// Adds one tag.
    #[must_use]
    pub fn tag<T: Into<String>>(mut self, tag: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tag.into_iter().map(Into::into).collect());
        self
    }

    /// Adds tags.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// The event with its id, and zeros in place of a signature.
    pub(super) fn without_signature(self, pubkey: PublicKey, created_at: Timestamp) -> Event {
        let created_at = created_at.as_seconds().min(MAX_CREATED_AT);
        let Self { kind, tags, content } = self;
        let id = JsonParts::of(&tags, &content).id(&pubkey, created_at, kind);
        Event { id, pubkey, created_at, kind, tags, content, sig: Signature::from_bytes([0; 64]) }
    }

    /// Signs the event with this `created_at` (rounded down to seconds).
    #[must_use]
    pub fn sign(self, keys: &Keys, created_at: Timestamp) -> VerifiedEvent {
        let pubkey = keys.public_key();
        let created_at = created_at.as_seconds().min(MAX_CREATED_AT);
        let texts = JsonParts::of(&self.tags, &self.content);
        let id = texts.id(&pubkey, created_at, self.kind);
        let sig = keys.sign(id.as_bytes());
        let event =
            Event { id, pubkey, created_at, kind: self.kind, tags: self.tags, content: self.content, sig };
        VerifiedEvent::of(event, &texts)
    }
}

#[cfg(test)]
mod tests;
