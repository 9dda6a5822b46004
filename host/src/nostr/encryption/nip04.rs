//! NIP-04 encryption: AES-256-CBC with the shared secret as the key.
//!
//! Nothing authenticates the ciphertext but the signature of the event that carries it.

use aes::Aes256;
use base64ct::{Base64, Encoding};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};

use super::DecryptError;

/// The text between the ciphertext and the initialization vector.
pub(super) const SEPARATOR: &str = "?iv=";

pub(super) fn encrypt(shared: &[u8; 32], vector: &[u8; 16], plaintext: &str) -> String {
    let cipher = cbc::Encryptor::<Aes256>::new(shared.into(), vector.into());
    let ciphertext = cipher.encrypt_padded_vec::<Pkcs7>(plaintext.as_bytes());
    format!("{}{SEPARATOR}{}", Base64::encode_string(&ciphertext), Base64::encode_string(vector))
}

pub(super) fn decrypt(shared: &[u8; 32], payload: &str) -> Result<String, DecryptError> {
    let (ciphertext, vector) = payload.split_once(SEPARATOR).ok_or(DecryptError::InitializationVector)?;
    let mut bytes = [0; 16];
    let vector: &[u8; 16] = Base64::decode(vector, &mut bytes)
        .ok()
        .and_then(|vector| vector.try_into().ok())
        .ok_or(DecryptError::InitializationVector)?;
    let ciphertext = Base64::decode_vec(ciphertext).map_err(|_| DecryptError::Base64)?;
    let plaintext = cbc::Decryptor::<Aes256>::new(shared.into(), vector.into())
        .decrypt_padded_vec::<Pkcs7>(&ciphertext)
        .map_err(|_| DecryptError::Ciphertext)?;
    String::from_utf8(plaintext).map_err(|_| DecryptError::Ciphertext)
}
