//! Key pairs that sign, and the text forms of keys, `nsec1…` and `npub1…` (NIP-19).

use std::fmt;

use bech32::{Bech32, Hrp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::bytes::{PublicKey, Signature};
use crate::nostr::schnorr::SigningKey;

const NSEC: Hrp = Hrp::parse_unchecked("nsec");
const NPUB: Hrp = Hrp::parse_unchecked("npub");

/// A key pair for signing. It shows its secret only in [`Keys::to_nsec`].
///
/// ```
/// use openagents_host::Keys;
///
/// let keys: Keys = "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5".parse().unwrap();
/// assert_eq!(keys.npub(), "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg");
/// assert!(!format!("{keys:?}").contains("nsec"));
/// ```
#[derive(Clone)]
pub struct Keys {
    signing: SigningKey,
    public: PublicKey,
}

/// Why a text is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is neither bech32 nor hex of the right length. The text is not repeated, because it may be secret.
    #[error("expected `{prefix}1…` (NIP-19) or 64 hex characters")]
    Form {
        /// `nsec` or `npub`.
        prefix: &'static str,
    },
    /// A public key in place of a secret one, or vice versa.
    #[error("expected `{expected}1…`, found `{found}1…`")]
    Prefix {
        /// The expected prefix.
        expected: &'static str,
        /// The prefix of the text.
        found: String,
    },
    /// A secret key that is zero or not below the order of the curve's group.
    #[error("the secret key is not a number in secp256k1's group")]
    Range,
    /// The system has no random bytes.
    #[error("no random bytes to make a key from: {0}")]
    Random(String),
}

impl Keys {
    /// A new random key.
    ///
    /// # Errors
    /// When the system has no random bytes (in a Worker: outside of an event).
    pub fn generate() -> Result<Self, KeyError> {
        loop {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|error| KeyError::Random(error.to_string()))?;
            // All numbers except one in 2^128 are in the group.
            if let Ok(keys) = Self::from_secret(&secret) {
                return Ok(keys);
            }
        }
    }

    /// The key pair of a secret key.
    ///
    /// # Errors
    /// When the number is zero or not below the group's order.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, KeyError> {
        let signing = SigningKey::from_bytes(secret).ok_or(KeyError::Range)?;
        Ok(Self { public: signing.public_key(), signing })
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The public key as `npub1…`.
    #[must_use]
    pub fn npub(&self) -> String {
        npub(&self.public)
    }

    /// The **secret** key as `nsec1…`, for storing it; never show it.
    #[must_use]
    pub fn to_nsec(&self) -> String {
        encode(NSEC, &self.signing.to_bytes())
    }

    /// Signs 32 bytes (BIP-340).
    #[must_use]
    pub fn sign(&self, message: &[u8; 32]) -> Signature {
        self.signing.sign(message)
    }

    /// A secret that follows from this key and a purpose (HMAC-SHA256), from which the key cannot be found.
    #[must_use]
    pub fn derived_secret(&self, purpose: &[u8]) -> [u8; 32] {
        // HMAC fills a key up to its block with zeros (RFC 2104); done here, nothing can fail.
        let mut block = [0; 64];
        if let Some(start) = block.first_chunk_mut() {
            *start = self.signing.to_bytes();
        }
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(purpose);
        mac.finalize().into_bytes().into()
    }

    /// The shared secret of this key and `with`: the x coordinate of their product (NIP-04, NIP-44). `None` if `with`
    /// is not a point of the curve.
    pub(crate) fn shared_secret(&self, with: &PublicKey) -> Option<[u8; 32]> {
        self.signing.shared_secret(with)
    }
}

impl std::str::FromStr for Keys {
    type Err = KeyError;

    /// Parses `nsec1…` or 64 hex characters, ignoring white space around them.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_secret(&decode(NSEC, "nsec", text)?)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.npub())
    }
}

/// A public key as `npub1…`.
#[must_use]
pub fn npub(public_key: &PublicKey) -> String {
    encode(NPUB, public_key.as_bytes())
}

/// Parses a public key in the form `npub1…` or 64 hex characters.
///
/// # Errors
/// When the text is neither.
pub fn parse_public_key(text: &str) -> Result<PublicKey, KeyError> {
    decode(NPUB, "npub", text).map(PublicKey::from_bytes)
}

fn encode(prefix: Hrp, bytes: &[u8; 32]) -> String {
    // 32 bytes are far below bech32's maximum length.
    bech32::encode::<Bech32>(prefix, bytes).unwrap_or_default()
}

fn decode(expected: Hrp, prefix: &'static str, text: &str) -> Result<[u8; 32], KeyError> {
    let text = text.trim();
    let mut bytes = [0; 32];
    if let Ok(decoded) = base16ct::mixed::decode(text, &mut bytes) {
        return if decoded.len() == 32 { Ok(bytes) } else { Err(KeyError::Form { prefix }) };
    }
    let (found, bytes) = bech32::decode(text).map_err(|_| KeyError::Form { prefix })?;
    if found != expected {
        return Err(KeyError::Prefix { expected: prefix, found: found.to_lowercase() });
    }
    bytes.try_into().map_err(|_| KeyError::Form { prefix })
}

#[cfg(test)]
mod tests {
    use nostr::prelude::{PublicKey as NostrPublicKey, ToBech32};

    use super::{KeyError, Keys, npub, parse_public_key};

    /// RFC 4231 has no key of this length; Python's `hmac` gives this value.
    #[test]
    fn derives_the_secret_of_a_purpose_by_hmac() {
        let keys = Keys::from_secret(&[1; 32]).unwrap();
        let hex = base16ct::lower::encode_string(&keys.derived_secret(b"a purpose"));
        assert_eq!(hex, "0da05e98724f11139635fece914b7d4bcf8913f2f374b29831bfb13d2a196d60");
        assert_ne!(keys.derived_secret(b"a purpose"), keys.derived_secret(b"another"));
    }

    #[test]
    fn survives_the_way_through_its_names() {
        let keys = Keys::generate().unwrap();
        let again: Keys = keys.to_nsec().parse().unwrap();
        assert_eq!(again.public_key(), keys.public_key());
        assert_eq!(parse_public_key(&keys.npub()).unwrap(), keys.public_key());
        assert_eq!(parse_public_key(&keys.public_key().to_hex()).unwrap(), keys.public_key());
        let theirs = NostrPublicKey::from_slice(keys.public_key().as_bytes()).unwrap().to_bech32().unwrap();
        assert_eq!(npub(&keys.public_key()), theirs);
    }

    #[test]
    fn names_the_mistake_without_repeating_a_secret() {
        let keys = Keys::generate().unwrap();
        assert!(
            matches!(keys.npub().parse::<Keys>(), Err(KeyError::Prefix { found, .. }) if found == "npub")
        );
        let mut typo = keys.to_nsec();
        typo.push('q');
        let error = typo.parse::<Keys>().unwrap_err();
        assert_eq!(error.to_string(), "expected `nsec1…` (NIP-19) or 64 hex characters");
        assert_eq!("00".repeat(32).parse::<Keys>().unwrap_err(), KeyError::Range);
        assert!("".parse::<Keys>().is_err());
    }

    #[test]
    fn does_not_print_its_secret() {
        let keys = Keys::generate().unwrap();
        let shown = format!("{keys:?}");
        assert!(!shown.contains(&keys.to_nsec()) && shown.contains(&keys.npub()));
    }
}
