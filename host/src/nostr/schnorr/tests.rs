//! Tests of all Schnorr backends: they agree with each other and with the vectors of BIP-340.

use super::{MIN_BATCH, SignedMessage, VECTORS, k256, libsecp256k1, verify_all};
use crate::nostr::bytes::{EventId, PublicKey, Signature};

#[test]
fn both_backends_agree_with_the_vectors_of_bip340() {
    for (index, (key, message, signature, valid)) in VECTORS.iter().enumerate() {
        let key = PublicKey::from_hex(key).unwrap();
        let message = EventId::from_hex(message).unwrap();
        let signature = Signature::from_hex(signature).unwrap();
        assert_eq!(libsecp256k1::verify(&key, message.as_bytes(), &signature), *valid, "vector {index}");
        let signed = SignedMessage { public_key: &key, message: message.as_bytes(), signature: &signature };
        assert_eq!(verify_all(&[signed; MIN_BATCH]), [*valid; MIN_BATCH], "a batch of vector {index}");
    }
}

#[test]
fn keys_that_share_a_place_in_memory_are_not_taken_for_each_other() {
    let keys: Vec<_> = (0..600_u16)
        .filter_map(|number| {
            libsecp256k1::SigningKey::from_bytes(&[number.to_be_bytes(); 16].concat().try_into().unwrap())
        })
        .collect();
    for round in 0..2 {
        for (key, other) in keys.iter().zip(keys.iter().skip(1)) {
            let signature = key.sign(&[round; 32]);
            assert!(libsecp256k1::verify(&key.public_key(), &[round; 32], &signature));
            assert!(!libsecp256k1::verify(&other.public_key(), &[round; 32], &signature));
        }
    }
    let no_point = PublicKey::from_bytes([0xFF; 32]);
    assert!(!libsecp256k1::verify(&no_point, &[0; 32], &Signature::from_bytes([1; 64])));
}

#[test]
fn both_backends_sign_alike() {
    let secret = [7; 32];
    let (native, wasm) = (
        libsecp256k1::SigningKey::from_bytes(&secret).unwrap(),
        k256::SigningKey::from_bytes(&secret).unwrap(),
    );
    assert_eq!(native.public_key(), wasm.public_key());
    assert_eq!(native.to_bytes(), wasm.to_bytes());
    let message = [9; 32];
    let signature = native.sign(&message);
    assert!(libsecp256k1::verify(&native.public_key(), &message, &signature));
    assert!(libsecp256k1::verify(&wasm.public_key(), &message, &wasm.sign(&message)));
}

#[test]
fn refuses_secrets_outside_the_group() {
    for secret in [[0; 32], [255; 32]] {
        assert!(libsecp256k1::SigningKey::from_bytes(&secret).is_none());
        assert!(k256::SigningKey::from_bytes(&secret).is_none());
    }
}

#[test]
fn both_backends_share_the_same_secret() {
    for (ours, theirs) in [([1; 32], [2; 32]), ([3; 32], [250; 32]), ([7; 32], [9; 32]), ([5; 32], [5; 32])] {
        let native = libsecp256k1::SigningKey::from_bytes(&ours).unwrap();
        let wasm = k256::SigningKey::from_bytes(&ours).unwrap();
        let other = libsecp256k1::SigningKey::from_bytes(&theirs).unwrap();
        let shared = native.shared_secret(&other.public_key()).unwrap();
        assert_eq!(wasm.shared_secret(&other.public_key()), Some(shared));
        assert_eq!(other.shared_secret(&wasm.public_key()), Some(shared));
    }
}

#[test]
fn both_backends_share_no_secret_with_what_is_no_point() {
    // The first two have no square root, the others are on the curve's twist (test vectors of NIP-44).
    for (index, key) in [
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "eb1f7200aecaa86682376fb1c13cd12b732221e774f553b0a0857f88fa20f86d",
        "709858a4c121e4a84eb59c0ded0261093c71e8ca29efeef21a6161c447bcaf9f",
    ]
    .iter()
    .enumerate()
    {
        let key = PublicKey::from_hex(key).unwrap();
        assert_eq!(
            libsecp256k1::SigningKey::from_bytes(&[7; 32]).unwrap().shared_secret(&key),
            None,
            "{index}"
        );
        assert_eq!(k256::SigningKey::from_bytes(&[7; 32]).unwrap().shared_secret(&key), None, "{index}");
    }
}
