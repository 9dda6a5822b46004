//! The test vectors published by the authors of NIP-44: `vectors.json` is their shorter, earlier file
//! (paulmillr/nip44). Those for the extended length are in the specification itself.

use base64ct::{Base64, Encoding};
use hkdf::Hkdf;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::ConversationKey;
use crate::nostr::bytes::{EventId, PublicKey};
use crate::nostr::encryption::{DecryptError, EncryptError, Encryption, MAX_PAYLOAD, MAX_PLAINTEXT};
use crate::nostr::keys::{KeyError, Keys};

#[derive(Deserialize)]
struct Vectors {
    get_conversation_key: Vec<Conversation>,
    encrypt_decrypt: Vec<Message>,
    invalid_conversation_key: Vec<InvalidKey>,
    invalid_decrypt: Vec<InvalidPayload>,
}

#[derive(Deserialize)]
struct Conversation {
    sec1: EventId,
    pub2: PublicKey,
    conversation_key: EventId,
}

#[derive(Deserialize)]
struct Message {
    sec1: EventId,
    sec2: EventId,
    conversation_key: EventId,
    nonce: EventId,
    plaintext: String,
    payload: String,
}

#[derive(Deserialize)]
struct InvalidKey {
    sec1: EventId,
    pub2: PublicKey,
    note: String,
}

#[derive(Deserialize)]
struct InvalidPayload {
    conversation_key: EventId,
    payload: String,
    note: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

/// The key pair of a vector's secret key: 32 bytes in hex, as an id is.
fn keys(secret: &EventId) -> Keys {
    Keys::from_secret(secret.as_bytes()).unwrap()
}

/// The conversation key with these bytes, without deriving it from a shared secret.
fn known(conversation_key: &EventId) -> ConversationKey {
    ConversationKey(Hkdf::from_prk(conversation_key.as_bytes()).unwrap())
}

fn sha256(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

#[test]
fn derives_the_conversation_keys_of_the_vectors() {
    for (index, vector) in vectors().get_conversation_key.iter().enumerate() {
        let shared = keys(&vector.sec1).shared_secret(&vector.pub2).unwrap();
        let derived = ConversationKey::of(&shared).encrypt(&[1; 32], "same").unwrap();
        assert_eq!(derived, known(&vector.conversation_key).encrypt(&[1; 32], "same").unwrap(), "{index}");
    }
}

#[test]
fn encrypts_and_decrypts_the_vectors() {
    for (index, vector) in vectors().encrypt_decrypt.iter().enumerate() {
        let (first, second) = (keys(&vector.sec1), keys(&vector.sec2));
        let shared = first.shared_secret(&second.public_key()).unwrap();
        for key in [ConversationKey::of(&shared), known(&vector.conversation_key)] {
            let payload = key.encrypt(vector.nonce.as_bytes(), &vector.plaintext).unwrap();
            assert_eq!(payload, vector.payload, "{index}");
        }
        let expected = (vector.plaintext.clone(), Encryption::Nip44);
        assert_eq!(second.decrypt(&first.public_key(), &vector.payload).unwrap(), expected, "{index}");
        assert_eq!(first.decrypt(&second.public_key(), &vector.payload).unwrap(), expected, "{index}");
    }
}

#[test]
fn encrypts_long_texts_with_the_extended_length() {
    let key = known(&vectors().encrypt_decrypt[0].conversation_key);
    let mut nonce = [0; 32];
    nonce[31] = 1;
    for (length, plaintext_sha256, payload_sha256) in [
        (
            65_535,
            "6e1bebca6a8229364a162a72ef064826c4cd7457bf54f190ef782bd9deff3e42",
            "6d8c2810d1e870fbaa1f0a0937126cca837a15f9260e27060c331d70a3c0bc84",
        ),
        (
            65_536,
            "bf718b6f653bebc184e1479f1935b8da974d701b893afcf49e701f3e2f9f9c5a",
            "b7b4edb36ba92e267d322d56d9aebc22e7fa96ff52e3c12adc07f07a43cbc616",
        ),
        (
            65_537,
            "008ffc88d3c96a9f307524eb361e47c5222a887fc45fa0c1fb8d429c5c23b430",
            "eeb7c7c5373894ea2c1547cfd3ccb15d5a0b2d619da852e5c79df792dcc9e435",
        ),
    ] {
        let plaintext = "a".repeat(length);
        assert_eq!(sha256(plaintext.as_bytes()), plaintext_sha256);
        let payload = key.encrypt(&nonce, &plaintext).unwrap();
        assert_eq!(sha256(payload.as_bytes()), payload_sha256, "{length}");
        assert_eq!(key.decrypt(&payload).unwrap(), plaintext);
    }
}

#[test]
fn rejects_the_invalid_keys_of_the_vectors() {
    for InvalidKey { sec1, pub2, note } in vectors().invalid_conversation_key {
        match Keys::from_secret(sec1.as_bytes()) {
            Ok(keys) => {
                assert_eq!(keys.encrypt(&pub2, "a", Encryption::Nip44), Err(EncryptError::Key), "{note}");
                assert_eq!(keys.encrypt(&pub2, "a", Encryption::Nip04), Err(EncryptError::Key), "{note}");
                assert_eq!(keys.decrypt(&pub2, ""), Err(DecryptError::Key), "{note}");
            }
            Err(error) => assert_eq!(error, KeyError::Range, "{note}"),
        }
    }
}

#[test]
fn rejects_the_invalid_payloads_of_the_vectors_for_the_reason_they_name() {
    for InvalidPayload { conversation_key, payload, note } in vectors().invalid_decrypt {
        let expected = match note.as_str() {
            "unknown encryption version" => DecryptError::FutureVersion,
            "unknown encryption version 0" => DecryptError::Version { found: 0 },
            "invalid base64" => DecryptError::Base64,
            "invalid MAC" => DecryptError::Mac,
            "invalid padding" => DecryptError::Padding,
            other => panic!("{other} is no reason"),
        };
        assert_eq!(known(&conversation_key).decrypt(&payload), Err(expected), "{note}");
    }
}

#[test]
fn rejects_texts_of_a_forbidden_length() {
    let keys = Keys::generate().unwrap();
    let encrypt = |length| keys.encrypt(&keys.public_key(), &"a".repeat(length), Encryption::Nip44);
    for length in [0, MAX_PLAINTEXT + 1, 10_000_000] {
        assert_eq!(encrypt(length), Err(EncryptError::Length { length }));
    }
    let longest = encrypt(MAX_PLAINTEXT).unwrap();
    assert_eq!(longest.len(), MAX_PAYLOAD);
    assert_eq!(keys.decrypt(&keys.public_key(), &longest).unwrap().0.len(), MAX_PLAINTEXT);
}

#[test]
fn rejects_payloads_of_a_forbidden_length() {
    let keys = Keys::generate().unwrap();
    let decrypt = |payload: &str| keys.decrypt(&keys.public_key(), payload);
    for length in [0, 1, 2, 5, 10, 20, 32, 48, 64, 131] {
        assert_eq!(decrypt(&"A".repeat(length)), Err(DecryptError::TooShort { length }));
    }
    let bytes_98 = Base64::encode_string(&[2; 98]);
    assert_eq!(decrypt(&bytes_98), Err(DecryptError::TooShort { length: 132 }));
    assert_eq!(decrypt(&Base64::encode_string(&[2; 99])), Err(DecryptError::Mac));
    let length = MAX_PAYLOAD + 4;
    assert_eq!(decrypt(&"A".repeat(length)), Err(DecryptError::TooLong { length }));
}

#[test]
fn rejects_payload_with_any_byte_changed() {
    let key = ConversationKey::of(&[7; 32]);
    let data = Base64::decode_vec(&key.encrypt(&[9; 32], "text").unwrap()).unwrap();
    for index in 0..data.len() {
        let mut changed = data.clone();
        changed[index] ^= 1;
        let expected = if index == 0 { DecryptError::Version { found: 3 } } else { DecryptError::Mac };
        assert_eq!(key.decrypt(&Base64::encode_string(&changed)), Err(expected), "byte {index}");
    }
}
