//! Fuzzes batches of BIP-340 signatures, which are verified as one sum: the same are refused as by libsecp256k1, which verifies
//! them one by one. The input says who signs what, and what is changed afterwards.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openagents_host::nostr::schnorr::{MIN_BATCH, SignedMessage, verify, verify_all};
use openagents_host::{Keys, PublicKey, Signature};

const MAX_BATCH: usize = 96;

/// The order of the curve, and the prime of its field.
const ORDER: [u8; 32] = bytes("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
const PRIME: [u8; 32] = bytes("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f");

#[derive(Clone, Copy)]
struct Signed {
    key: PublicKey,
    message: [u8; 32],
    signature: [u8; 64],
}

/// Valid signatures by a few keys, the smallest among them.
static VALID: LazyLock<Vec<Signed>> = LazyLock::new(|| {
    let secrets = (1..=4_u8).map(|last| [[0; 31].as_slice(), &[last]].concat());
    let secrets = secrets.chain((1..=4_u8).map(|byte| vec![byte; 32]));
    let keys: Vec<Keys> = secrets
        .map(|secret| Keys::from_secret(&secret.try_into().expect("32 bytes")).expect("a secret key"))
        .collect();
    let signed = |(number, keys): (u8, &Keys)| {
        let message = [number; 32];
        Signed { key: keys.public_key(), message, signature: *keys.sign(&message).as_bytes() }
    };
    (0..64).zip(keys.iter().cycle()).map(signed).collect()
});

fuzz_target!(|steps: Vec<[u8; 4]>| {
    let mut batch: Vec<Signed> = Vec::new();
    for [which, step, place, value] in steps.into_iter().take(MAX_BATCH) {
        let valid = VALID[usize::from(which) % VALID.len()];
        let Some(last) = batch.last_mut().filter(|_| step % 12 > 1) else {
            batch.push(valid);
            continue;
        };
        let (nonce, scalar) = last.signature.split_at_mut(32);
        let place = usize::from(place) % 32;
        match step % 12 {
            2 => last.message[place] ^= value,
            3 => nonce[place] ^= value,
            4 => scalar[place] ^= value,
            5 => {
                let mut key = *last.key.as_bytes();
                key[place] ^= value;
                last.key = PublicKey::from_bytes(key);
            }
            6 => last.key = valid.key,
            7 => nonce.copy_from_slice(&valid.signature[..32]),
            8 => scalar.copy_from_slice(&valid.signature[32..]),
            // Out of range: at the order or the prime, and around it.
            9 => {
                scalar.copy_from_slice(&ORDER);
                scalar[31] = scalar[31].wrapping_add(value);
            }
            10 => {
                nonce.copy_from_slice(&PRIME);
                nonce[31] = nonce[31].wrapping_add(value);
            }
            // Two whose errors would cancel in a sum without factors.
            _ => {
                let mut other = valid;
                scalar[place] = scalar[place].wrapping_add(value);
                other.signature[32 + place] = other.signature[32 + place].wrapping_sub(value);
                batch.push(other);
            }
        }
    }
    batch.extend(VALID.iter().take(MIN_BATCH.saturating_sub(batch.len())));
    let signatures: Vec<Signature> = batch.iter().map(|signed| Signature::from_bytes(signed.signature)).collect();
    let signed: Vec<SignedMessage<'_>> = batch
        .iter()
        .zip(&signatures)
        .map(|(Signed { key, message, .. }, signature)| SignedMessage { public_key: key, message, signature })
        .collect();
    let one_by_one = signed.iter().map(|signed| verify(signed.public_key, signed.message, signed.signature));
    assert_eq!(verify_all(&signed), one_by_one.collect::<Vec<_>>());
});

const fn bytes(hex: &str) -> [u8; 32] {
    let (hex, mut bytes, mut place) = (hex.as_bytes(), [0; 32], 0);
    while place < 32 {
        bytes[place] = digit(hex[2 * place]) << 4 | digit(hex[2 * place + 1]);
        place += 1;
    }
    bytes
}

const fn digit(character: u8) -> u8 {
    if character.is_ascii_digit() { character - b'0' } else { character - b'a' + 10 }
}
