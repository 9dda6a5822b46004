//! Signing and shared secrets in WebAssembly with `k256`, which is pure Rust and runs in constant time.

use ::k256::{ecdh, schnorr};

use crate::nostr::bytes::{PublicKey, Signature};

#[derive(Clone)]
pub(crate) struct SigningKey(schnorr::SigningKey);

impl SigningKey {
    /// The key with these bytes; `None` if they are zero or beyond the group's order.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        schnorr::SigningKey::from_slice(bytes).ok().map(Self)
    }

    pub(crate) fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes().into()
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes().into())
    }

    pub(crate) fn sign(&self, message: &[u8; 32]) -> Signature {
        // BIP-340 signing fails only for a nonce of zero, for which nobody can find a message.
        let signature = self.0.sign_raw(message, &[0; 32]).map(|signature| signature.to_bytes());
        Signature::from_bytes(signature.map_or([0; 64], Into::into))
    }

    /// The x coordinate of the product of this key and `with`, taken as the point with an even y; `None` if it is not
    /// a point.
    pub(crate) fn shared_secret(&self, with: &PublicKey) -> Option<[u8; 32]> {
        let with = schnorr::VerifyingKey::from_slice(with.as_bytes()).ok()?;
        let shared = ecdh::diffie_hellman(self.0.as_nonzero_scalar(), with.as_affine());
        Some((*shared.raw_secret_bytes()).into())
    }
}
