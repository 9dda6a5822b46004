//! Schnorr signatures (BIP-340) and shared secrets: libsecp256k1 natively; in WebAssembly `k256` for all operations
//! with a secret key, and a verifier of our own, which natively sums batches if the feature `batch-verification` is on.

#[cfg(any(target_arch = "wasm32", test))]
pub(crate) mod k256;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod libsecp256k1;
#[cfg(any(target_arch = "wasm32", feature = "batch-verification", test))]
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

/// A signature to verify, with what it is a signature of.
#[derive(Clone, Copy, Debug)]
pub struct SignedMessage<'a> {
    /// Whose signature it is said to be.
    pub public_key: &'a PublicKey,
    /// The message, which for an event is its id.
    pub message: &'a [u8; 32],
    /// The signature.
    pub signature: &'a Signature,
}

impl SignedMessage<'_> {
    /// Whether the signature is [valid](verify), by itself.
    fn is_valid(&self) -> bool {
        verify(self.public_key, self.message, self.signature)
    }
}

/// Fewer signatures than these are verified one by one.
pub const MIN_BATCH: usize = 8;

/// Which of these signatures are valid, in their order.
///
/// In WebAssembly, and natively if the feature `batch-verification` is on, [`MIN_BATCH`] or more are verified as one sum, in
/// less than half of the time if all are valid. If the sum fails, and natively without the feature, each is verified alone.
#[must_use]
pub fn verify_all(signatures: &[SignedMessage<'_>]) -> Vec<bool> {
    #[cfg(any(target_arch = "wasm32", feature = "batch-verification", test))]
    return verifier::verify_all(signatures, |signed| signed.is_valid());
    #[cfg(not(any(target_arch = "wasm32", feature = "batch-verification", test)))]
    signatures.iter().map(SignedMessage::is_valid).collect()
}

/// The test vectors of BIP-340 for messages of 32 bytes: (public key, message, signature, whether it is valid).
///
/// Public so that each host can test its own backend.
#[cfg(any(test, feature = "conformance"))]
pub const VECTORS: &[(&str, &str, &str, bool)] = include!("schnorr/vectors.in");

#[cfg(test)]
mod tests;
