//! Schnorr signatures (BIP-340) and shared secrets: libsecp256k1 natively; in WebAssembly `k256` for all operations
//! with a secret key, and a verifier of our own.

#[cfg(any(target_arch = "wasm32", test))]
pub(crate) mod k256;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod libsecp256k1;
#[cfg(any(target_arch = "wasm32", test))]
mod verifier;

#[cfg(target_arch = "wasm32")]
pub(crate) use self::k256::SigningKey;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use self::libsecp256k1::SigningKey;
#[cfg(not(target_arch = "wasm32"))]
use self::libsecp256k1::verify as verify_here;
#[cfg(target_arch = "wasm32")]
use self::verifier::verify as verify_here;

use super::bytes::{PublicKey, Signature};

/// Whether `signature` is a valid signature of `message` by `public_key`. A key that is not a point of the curve has
/// no valid signatures.
#[must_use]
pub fn verify(public_key: &PublicKey, message: &[u8; 32], signature: &Signature) -> bool {
    verify_here(public_key, message, signature)
}

/// The test vectors of BIP-340 for messages of 32 bytes: (public key, message, signature, whether it is valid).
///
/// Public so that each host can test its own backend.
#[cfg(any(test, feature = "conformance"))]
pub const VECTORS: &[(&str, &str, &str, bool)] = include!("schnorr/vectors.in");

#[cfg(test)]
mod tests;
