//! Gift wraps (NIP-59): an unsigned event, sealed by its author for one receiver and wrapped by a one-time key.
//!
//! Only the receiver learns who wrote what, and nobody can prove it to others. NIP-17 sends direct messages in this way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bytes::{EventId, PublicKey, Signature};
use super::encryption::{DecryptError, EncryptError, Encryption};
use super::event::{Event, Tag, UnsignedEvent, VerifiedEvent, VerifyError};
use super::keys::{KeyError, Keys};
use super::kind::Kind;
use crate::time::Timestamp;

/// How far back the times of seals and gift wraps are moved, at most: two days (NIP-17).
const MAX_BACKDATING: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// An event without a signature (NIP-59). Its id is right, but only the seal in which it came says that its author
/// wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rumor {
    /// The id: the hash of the fields below.
    pub id: EventId,
    /// The author.
    pub pubkey: PublicKey,
    /// When it was written, in seconds since the Unix epoch.
    pub created_at: u64,
    /// The kind.
    pub kind: Kind,
    /// The tags.
    pub tags: Vec<Tag>,
    /// The content.
    pub content: String,
}

/// Why a gift wrap cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnwrapError {
    /// The event is not a gift wrap.
    #[error("expected a gift wrap, kind 1059 or 21059, found kind {0}")]
    NoGiftWrap(Kind),
    /// The wrap or the seal is encrypted for somebody else, or damaged.
    #[error("the {layer} cannot be decrypted: {error}")]
    Decrypt {
        /// `gift wrap` or `seal`.
        layer: &'static str,
        /// Why.
        error: DecryptError,
    },
    /// What was decrypted is not the JSON of an event.
    #[error("the {layer} does not hold an event: {error}")]
    NoEvent {
        /// `gift wrap` or `seal`.
        layer: &'static str,
        /// What is wrong with the JSON.
        error: String,
    },
    /// The wrap holds another event than a seal.
    #[error("expected a seal, kind 13 without tags, found kind {0}")]
    NoSeal(Kind),
    /// The seal's id or signature is wrong.
    #[error("the seal is not valid: {0}")]
    Seal(#[from] VerifyError),
    /// The seal is by somebody else than the event claims to be.
    #[error("the seal is by {sealed_by}, but the event claims to be by {claimed}")]
    Author {
        /// The author of the seal.
        sealed_by: PublicKey,
        /// The author that the event names.
        claimed: PublicKey,
    },
    /// The event's id is not the hash of its other fields.
    #[error("the id of the sealed event is wrong")]
    Id,
}

/// Why an event cannot be wrapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// It cannot be encrypted.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    /// There is no one-time key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Rumor {
    /// An event by this author, written at `created_at`.
    #[must_use]
    pub fn new(event: UnsignedEvent, author: PublicKey, created_at: Timestamp) -> Self {
        let Event { id, pubkey, created_at, kind, tags, content, .. } =
            event.without_signature(author, created_at);
        Self { id, pubkey, created_at, kind, tags, content }
    }

    /// Opens a gift wrap that was sent to the key `receiver`. Everything is checked: the seal's signature, that its author
    /// is the event's, and the event's id.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn unwrap(wrap: &VerifiedEvent, receiver: &Keys) -> Result<Self, UnwrapError> {
        if !matches!(wrap.kind, Kind::GIFT_WRAP | Kind::EPHEMERAL_GIFT_WRAP) {
            return Err(UnwrapError::NoGiftWrap(wrap.kind));
        }
        let seal = open::<Event>("gift wrap", receiver, wrap)?;
        if seal.kind != Kind::SEAL || !seal.tags.is_empty() {
            return Err(UnwrapError::NoSeal(seal.kind));
        }
        let seal = seal.verify()?;
        let rumor = open::<Self>("seal", receiver, &seal)?;
        if rumor.pubkey != seal.pubkey {
            return Err(UnwrapError::Author { sealed_by: seal.pubkey, claimed: rumor.pubkey });
        }
        if rumor.has_valid_id() { Ok(rumor) } else { Err(UnwrapError::Id) }
    }

    /// Seals the event with its author's key and wraps it for a receiver. The times of seal and wrap are up to two days before
    /// `now`, so that they say little.
    ///
    /// # Errors
    /// When the receiver's key is invalid, the event is too long, or the system has no random bytes (in a Worker:
    /// outside of an event).
    pub fn wrap(
        &self,
        author: &Keys,
        receiver: &PublicKey,
        now: Timestamp,
    ) -> Result<VerifiedEvent, WrapError> {
        // Strings, numbers and lists always serialize.
        let rumor = serde_json::to_string(self).unwrap_or_default();
        let sealed = author.encrypt(receiver, &rumor, Encryption::Nip44)?;
        let seal = UnsignedEvent::new(Kind::SEAL, sealed).sign(author, backdated(now)?);
        let once = Keys::generate()?;
        let wrapped = once.encrypt(receiver, seal.json(), Encryption::Nip44)?;
        let wrap = UnsignedEvent::new(Kind::GIFT_WRAP, wrapped).tag(["p", &receiver.to_hex()]);
        Ok(wrap.sign(&once, backdated(now)?))
    }

    fn has_valid_id(&self) -> bool {
        let Self { id, pubkey, created_at, kind, tags, content } = self.clone();
        Event { id, pubkey, created_at, kind, tags, content, sig: Signature::from_bytes([0; 64]) }
            .has_valid_id()
    }
}

/// Decrypts the event in the content of another one.
fn open<T: for<'de> Deserialize<'de>>(
    layer: &'static str,
    receiver: &Keys,
    event: &VerifiedEvent,
) -> Result<T, UnwrapError> {
    if Encryption::of(&event.content) != Encryption::Nip44 {
        return Err(UnwrapError::Decrypt { layer, error: DecryptError::Base64 });
    }
    let decrypted = receiver.decrypt(&event.pubkey, &event.content);
    let (json, _) = decrypted.map_err(|error| UnwrapError::Decrypt { layer, error })?;
    serde_json::from_str(&json).map_err(|error| UnwrapError::NoEvent { layer, error: error.to_string() })
}

/// A random time up to two days before this one.
fn backdated(now: Timestamp) -> Result<Timestamp, WrapError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    let seconds = u64::from_le_bytes(bytes).checked_rem(MAX_BACKDATING.as_secs()).unwrap_or_default();
    Ok(now - Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::{MAX_BACKDATING, Rumor, UnwrapError};
    use crate::nostr::encryption::Encryption;
    use crate::nostr::event::{UnsignedEvent, VerifiedEvent};
    use crate::nostr::keys::Keys;
    use crate::nostr::kind::Kind;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn keys(number: u8) -> Keys {
        Keys::from_secret(&[number; 32]).unwrap()
    }

    fn message() -> Rumor {
        Rumor::new(
            UnsignedEvent::new(14, "Hi \u{1}").tag(["p", &keys(2).public_key().to_hex()]),
            keys(1).public_key(),
            NOW,
        )
    }

    /// Wraps what is sealed by `sealed_by`, whatever it is.
    fn wrapped(
        json: &str,
        sealed_by: &Keys,
        seal: impl FnOnce(UnsignedEvent) -> UnsignedEvent,
    ) -> VerifiedEvent {
        let to = keys(2).public_key();
        let sealed = sealed_by.encrypt(&to, json, Encryption::Nip44).unwrap();
        let seal = seal(UnsignedEvent::new(Kind::SEAL, sealed)).sign(sealed_by, NOW);
        wrap(seal.json())
    }

    fn wrap(seal: &str) -> VerifiedEvent {
        let content = keys(9).encrypt(&keys(2).public_key(), seal, Encryption::Nip44).unwrap();
        UnsignedEvent::new(Kind::GIFT_WRAP, content).sign(&keys(9), NOW)
    }

    #[test]
    fn reaches_its_receiver_and_nobody_else() {
        let (author, receiver) = (keys(1), keys(2));
        let wrap = message().wrap(&author, &receiver.public_key(), NOW).unwrap();
        assert_eq!(wrap.tag_values("p").collect::<Vec<_>>(), [receiver.public_key().to_hex()]);
        assert!(wrap.pubkey != author.public_key() && wrap.created_at <= NOW.as_seconds());
        assert!(wrap.created_at + MAX_BACKDATING.as_secs() >= NOW.as_seconds());
        assert_eq!(Rumor::unwrap(&wrap, &receiver).unwrap(), message());
        for other in [author, keys(3)] {
            assert!(matches!(
                Rumor::unwrap(&wrap, &other),
                Err(UnwrapError::Decrypt { layer: "gift wrap", .. })
            ));
        }
    }

    #[test]
    fn two_wraps_of_one_message_have_nothing_in_common() {
        let wrap = || message().wrap(&keys(1), &keys(2).public_key(), NOW).unwrap();
        let (one, other) = (wrap(), wrap());
        assert!(one.pubkey != other.pubkey && one.content != other.content);
    }

    #[test]
    fn nobody_can_speak_for_somebody_else() {
        let json = serde_json::to_string(&message()).unwrap();
        let forged = wrapped(&json, &keys(3), |seal| seal);
        let claimed = keys(1).public_key();
        let expected = UnwrapError::Author { sealed_by: keys(3).public_key(), claimed };
        assert_eq!(Rumor::unwrap(&forged, &keys(2)), Err(expected));
        let seal = UnsignedEvent::new(Kind::SEAL, "x").sign(&keys(1), NOW);
        let unsigned = seal.json().replace(&seal.sig.to_string(), &"ab".repeat(64));
        assert!(matches!(Rumor::unwrap(&wrap(&unsigned), &keys(2)), Err(UnwrapError::Seal(_))));
    }

    #[test]
    fn refuses_what_is_not_as_it_should_be() {
        let json = serde_json::to_string(&message()).unwrap();
        let note = UnsignedEvent::new(1, "hello").sign(&keys(1), NOW);
        assert_eq!(Rumor::unwrap(&note, &keys(2)), Err(UnwrapError::NoGiftWrap(Kind(1))));
        assert_eq!(Rumor::unwrap(&wrap(note.json()), &keys(2)), Err(UnwrapError::NoSeal(Kind(1))));
        let tagged = wrapped(&json, &keys(1), |seal| seal.tag(["t", "x"]));
        assert_eq!(Rumor::unwrap(&tagged, &keys(2)), Err(UnwrapError::NoSeal(Kind::SEAL)));
        let other = json.replace("Hi", "Ho");
        assert_eq!(Rumor::unwrap(&wrapped(&other, &keys(1), |seal| seal), &keys(2)), Err(UnwrapError::Id));
        for (wrap, layer) in [(wrap("[]"), "gift wrap"), (wrapped("{}", &keys(1), |seal| seal), "seal")] {
            let Err(UnwrapError::NoEvent { layer: found, .. }) = Rumor::unwrap(&wrap, &keys(2)) else {
                panic!()
            };
            assert_eq!(found, layer);
        }
    }
}
