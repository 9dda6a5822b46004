//! Encryption between two keys: NIP-44, and NIP-04 for clients that still use it.
//!
//! NIP-90 keeps the inputs and parameters of a job private in this way. Neither scheme proves who wrote a text: only
//! decrypt the content of a [`VerifiedEvent`](crate::VerifiedEvent), with its `pubkey`.

mod nip04;
mod nip44;

use crate::nostr::bytes::PublicKey;
use crate::nostr::keys::Keys;

/// The longest text that is encrypted, in bytes: what fits into a row of a Durable Object.
///
/// NIP-44 itself allows 4 GiB and asks every implementation for its own limit.
pub const MAX_PLAINTEXT: usize = 2 * 1024 * 1024;

/// The longest payload that is decrypted, in bytes: the size of [`MAX_PLAINTEXT`] in NIP-44, with version, nonce, length
/// and MAC.
pub const MAX_PAYLOAD: usize = (1 + 32 + 6 + MAX_PLAINTEXT + 32).div_ceil(3) * 4;

/// How a text is encrypted between two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// NIP-04: AES-256-CBC, without authentication. Deprecated, and still what many customers send.
    Nip04,
    /// NIP-44, version 2: ChaCha20 and HMAC-SHA256, padded.
    Nip44,
}

impl Encryption {
    /// The encryption of `payload`: only NIP-04 has `?iv=`.
    ///
    /// ```
    /// use openagents_host::Encryption;
    ///
    /// assert_eq!(Encryption::of("cGlhbm8=?iv=c29uYXRh"), Encryption::Nip04);
    /// assert_eq!(Encryption::of("AgAAAA=="), Encryption::Nip44);
    /// ```
    #[must_use]
    pub fn of(payload: &str) -> Self {
        if payload.contains(nip04::SEPARATOR) { Self::Nip04 } else { Self::Nip44 }
    }
}

/// Why a text could not be encrypted. Never contains the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The receiver's public key is not a point of the curve.
    #[error("the receiver's public key is not a point of secp256k1")]
    Key,
    /// NIP-44 cannot encrypt an empty text, and no text may exceed [`MAX_PLAINTEXT`].
    #[error("expected a text of 1 to {MAX_PLAINTEXT} bytes, found {length}")]
    Length {
        /// The length of the text in bytes.
        length: usize,
    },
    /// The system has no random bytes.
    #[error("no random bytes to encrypt with: {0}")]
    Random(String),
    /// A cipher refused its input. All lengths are checked in advance, so this never happens; it exists to avoid a
    /// panic.
    #[error("the cipher refused the length of its input")]
    Cipher,
}

/// Why a payload could not be decrypted. Never contains any part of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The sender's public key is not a point of the curve.
    #[error("the sender's public key is not a point of secp256k1")]
    Key,
    /// The payload begins with `#`, NIP-44's mark of versions that are not base64.
    #[error(
        "a payload that begins with `#` has a version of NIP-44 that is not supported; expected version 2"
    )]
    FutureVersion,
    /// Another version of NIP-44.
    #[error("version {found} of NIP-44 is not supported; expected version 2")]
    Version {
        /// The payload's first byte.
        found: u8,
    },
    /// Too short for NIP-44.
    #[error("expected at least 132 bytes of base64 (NIP-44), which are 99 bytes, found {length}")]
    TooShort {
        /// The payload's length in bytes.
        length: usize,
    },
    /// Longer than [`MAX_PAYLOAD`].
    #[error("expected a payload of at most {MAX_PAYLOAD} bytes, found {length}")]
    TooLong {
        /// The payload's length in bytes.
        length: usize,
    },
    /// The payload is not base64.
    #[error("the payload is not base64 (RFC 4648, with padding)")]
    Base64,
    /// What follows `?iv=` is not an initialization vector.
    #[error("expected 16 bytes in base64 after `?iv=` (NIP-04)")]
    InitializationVector,
    /// NIP-44: the payload is for other keys, or was modified.
    #[error("the MAC does not fit the payload and the two keys")]
    Mac,
    /// NIP-44: the sender padded the text wrongly.
    #[error("the padding is not that of NIP-44")]
    Padding,
    /// NIP-44: the decrypted bytes are not text.
    #[error("the decrypted bytes are not UTF-8")]
    Utf8,
    /// NIP-04: the payload is for other keys, or was modified. More detail would help an attacker to guess the text.
    #[error("the payload does not decrypt to a text with the two keys")]
    Ciphertext,
    /// A cipher refused its input. All lengths are checked in advance, so this never happens; it exists to avoid a
    /// panic.
    #[error("the cipher refused the length of its input")]
    Cipher,
}

impl Keys {
    /// Encrypts a text that only `to` and this key can read. The same text encrypts differently every time.
    ///
    /// ```
    /// use openagents_host::{Encryption, Keys};
    ///
    /// let (customer, provider) = (Keys::generate().unwrap(), Keys::generate().unwrap());
    /// let payload = customer.encrypt(&provider.public_key(), "my diagnosis", Encryption::Nip44).unwrap();
    /// let read = provider.decrypt(&customer.public_key(), &payload).unwrap();
    /// assert_eq!(read, ("my diagnosis".to_owned(), Encryption::Nip44));
    /// ```
    ///
    /// # Errors
    /// When `to` is not a point of the curve, the text is longer than [`MAX_PLAINTEXT`] or (NIP-44) empty, or the
    /// system has no random bytes (in a Worker: outside of an event).
    pub fn encrypt(
        &self,
        to: &PublicKey,
        plaintext: &str,
        encryption: Encryption,
    ) -> Result<String, EncryptError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(EncryptError::Length { length: plaintext.len() });
        }
        let shared = self.shared_secret(to).ok_or(EncryptError::Key)?;
        match encryption {
            Encryption::Nip04 => Ok(nip04::encrypt(&shared, &random()?, plaintext)),
            Encryption::Nip44 => nip44::ConversationKey::of(&shared).encrypt(&random()?, plaintext),
        }
    }

    /// Decrypts a payload that `from` encrypted to this key, or this key to `from`. Also returns the encryption that
    /// was used: an answer should use the same.
    ///
    /// # Errors
    /// When the payload is malformed, was modified, or is for other keys.
    pub fn decrypt(&self, from: &PublicKey, payload: &str) -> Result<(String, Encryption), DecryptError> {
        if payload.len() > MAX_PAYLOAD {
            return Err(DecryptError::TooLong { length: payload.len() });
        }
        let shared = self.shared_secret(from).ok_or(DecryptError::Key)?;
        let encryption = Encryption::of(payload);
        let plaintext = match encryption {
            Encryption::Nip04 => nip04::decrypt(&shared, payload),
            Encryption::Nip44 => nip44::ConversationKey::of(&shared).decrypt(payload),
        }?;
        Ok((plaintext, encryption))
    }
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], EncryptError> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| EncryptError::Random(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
