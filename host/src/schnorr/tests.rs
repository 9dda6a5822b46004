use super::{VECTORS, k256, libsecp256k1};
use crate::event::{EventId, PublicKey, Signature};

type Verify = fn(&PublicKey, &[u8; 32], &Signature) -> bool;

#[test]
fn both_backends_agree_with_the_vectors_of_bip340() {
    for (index, (key, message, signature, valid)) in VECTORS.iter().enumerate() {
        let key = PublicKey::from_hex(key).unwrap();
        let message = EventId::from_hex(message).unwrap();
        let signature = Signature::from_hex(signature).unwrap();
        for (backend, verify) in [("libsecp256k1", libsecp256k1::verify as Verify), ("k256", k256::verify)] {
            assert_eq!(verify(&key, message.as_bytes(), &signature), *valid, "vector {index} by {backend}");
        }
    }
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
    assert!(k256::verify(&native.public_key(), &message, &signature));
    assert!(libsecp256k1::verify(&wasm.public_key(), &message, &wasm.sign(&message)));
}

#[test]
fn refuses_secrets_outside_the_group() {
    for secret in [[0; 32], [255; 32]] {
        assert!(libsecp256k1::SigningKey::from_bytes(&secret).is_none());
        assert!(k256::SigningKey::from_bytes(&secret).is_none());
    }
}
