//! BIP-340 signatures and shared secrets: libsecp256k1 natively, `k256` in WebAssembly.
//!
//! Each is the faster one on its host (40 µs against 82 µs natively; 201 µs against 243 µs in workerd), and a
//! Worker built without C needs no C compiler for WebAssembly and loses 1.2 MB of tables.

#[cfg(any(target_arch = "wasm32", test))]
pub(crate) mod k256;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod libsecp256k1;

#[cfg(target_arch = "wasm32")]
use self::k256 as backend;
#[cfg(not(target_arch = "wasm32"))]
use self::libsecp256k1 as backend;

pub(crate) use backend::SigningKey;

use crate::event::{PublicKey, Signature};

/// Whether `signature` is `public_key`'s signature of `message`. A key that is no curve point has none.
#[must_use]
pub fn verify(public_key: &PublicKey, message: &[u8; 32], signature: &Signature) -> bool {
    backend::verify(public_key, message, signature)
}

/// The test vectors of BIP-340 for messages of 32 bytes, as (public key, message, signature, whether it is valid).
///
/// Public so that each host can prove its own backend where it runs.
#[cfg(any(test, feature = "conformance"))]
pub const VECTORS: &[(&str, &str, &str, bool)] = include!("schnorr/vectors.in");

#[cfg(test)]
mod tests;
