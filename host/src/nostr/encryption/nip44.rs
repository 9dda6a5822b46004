//! NIP-44 encryption, version 2: `version ‖ nonce ‖ ciphertext ‖ MAC` in base64.

mod padding;

use base64ct::{Base64, Encoding};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{DecryptError, EncryptError};

const VERSION: u8 = 2;
const SALT: &[u8] = b"nip44-v2";
const MIN_PAYLOAD: usize = 132;
const MIN_DATA: usize = 99;

/// The key for all messages between two key pairs. It has no `Debug` because it is secret.
pub(super) struct ConversationKey(Hkdf<Sha256>);

/// The keys of a single message.
struct MessageKeys {
    cipher: ChaCha20,
    /// Has already processed the nonce, the associated data of the MAC.
    mac: Hmac<Sha256>,
}

impl ConversationKey {
    /// The conversation key for this shared secret.
    pub(super) fn of(shared: &[u8; 32]) -> Self {
        Self(Hkdf::new(Some(SALT), shared))
    }

    /// Encrypts with a nonce, which must never be used again.
    pub(super) fn encrypt(&self, nonce: &[u8; 32], plaintext: &str) -> Result<String, EncryptError> {
        let length = plaintext.len();
        let mut ciphertext = padding::pad(plaintext).ok_or(EncryptError::Length { length })?;
        let MessageKeys { mut cipher, mac } = self.message_keys(nonce).ok_or(EncryptError::Cipher)?;
        cipher.try_apply_keystream(&mut ciphertext).map_err(|_| EncryptError::Cipher)?;
        let mac = mac.chain_update(&ciphertext).finalize().into_bytes();
        let data = [&[VERSION], nonce.as_slice(), &ciphertext, &mac].concat();
        Ok(Base64::encode_string(&data))
    }

    /// Decrypts a payload of [`Self::encrypt`] or of another implementation.
    pub(super) fn decrypt(&self, payload: &str) -> Result<String, DecryptError> {
        let data = decode(payload)?;
        let (nonce, ciphertext, mac) =
            split(&data).ok_or(DecryptError::TooShort { length: payload.len() })?;
        let mut keys = self.message_keys(nonce).ok_or(DecryptError::Cipher)?;
        // `verify_slice` takes constant time.
        keys.mac.chain_update(ciphertext).verify_slice(mac).map_err(|_| DecryptError::Mac)?;
        let mut padded = ciphertext.to_vec();
        keys.cipher.try_apply_keystream(&mut padded).map_err(|_| DecryptError::Cipher)?;
        let plaintext = padding::unpad(&padded).ok_or(DecryptError::Padding)?;
        std::str::from_utf8(plaintext).map(str::to_owned).map_err(|_| DecryptError::Utf8)
    }

    /// Never `None`, because all lengths are fixed.
    fn message_keys(&self, nonce: &[u8; 32]) -> Option<MessageKeys> {
        let mut keys = [0; 76];
        self.0.expand(nonce, &mut keys).ok()?;
        let (cipher_key, rest) = keys.split_first_chunk::<32>()?;
        let (cipher_nonce, mac_key) = rest.split_first_chunk::<12>()?;
        let mac = Hmac::new_from_slice(mac_key).ok()?;
        Some(MessageKeys {
            cipher: ChaCha20::new(cipher_key.into(), cipher_nonce.into()),
            mac: mac.chain_update(nonce),
        })
    }
}

/// The bytes of a payload of version 2.
fn decode(payload: &str) -> Result<Vec<u8>, DecryptError> {
    if payload.starts_with('#') {
        return Err(DecryptError::FutureVersion);
    }
    let too_short = DecryptError::TooShort { length: payload.len() };
    if payload.len() < MIN_PAYLOAD {
        return Err(too_short);
    }
    let data = Base64::decode_vec(payload).map_err(|_| DecryptError::Base64)?;
    match data.first() {
        Some(&VERSION) if data.len() < MIN_DATA => Err(too_short),
        Some(&VERSION) => Ok(data),
        Some(&found) => Err(DecryptError::Version { found }),
        None => Err(too_short),
    }
}

/// Nonce, ciphertext and MAC.
fn split(data: &[u8]) -> Option<(&[u8; 32], &[u8], &[u8; 32])> {
    let (_version, rest) = data.split_first()?;
    let (nonce, rest) = rest.split_first_chunk()?;
    let (ciphertext, mac) = rest.split_last_chunk()?;
    Some((nonce, ciphertext, mac))
}

#[cfg(test)]
mod tests;
