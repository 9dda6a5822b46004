//! The signature of a BOLT 11 invoice (ECDSA on secp256k1): by libsecp256k1 natively, by `k256` in WebAssembly.

/// The signature is malformed or wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrongSignature;

#[cfg(not(target_arch = "wasm32"))]
static LIBRARY: std::sync::LazyLock<secp256k1::Secp256k1<secp256k1::VerifyOnly>> =
    std::sync::LazyLock::new(secp256k1::Secp256k1::verification_only);

/// The key that made this signature of 65 bytes, of which the last says which of the possible keys it is.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn recover(hash: &[u8; 32], signature: &[u8]) -> Result<[u8; 33], WrongSignature> {
    use secp256k1::Message;
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

    let (number, signature) = signature.split_last().ok_or(WrongSignature)?;
    let recover = || {
        let id = RecoveryId::try_from(i32::from(*number))?;
        let signature = RecoverableSignature::from_compact(signature, id)?;
        LIBRARY.recover_ecdsa(&Message::from_digest(*hash), &signature)
    };
    recover().map(|key| key.serialize()).map_err(|_: secp256k1::Error| WrongSignature)
}

/// Verifies a signature of 65 bytes by this key.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn verify(hash: &[u8; 32], signature: &[u8], key: &[u8; 33]) -> Result<(), WrongSignature> {
    use secp256k1::ecdsa::Signature;
    use secp256k1::{Message, PublicKey};

    let (_, signature) = signature.split_last().ok_or(WrongSignature)?;
    let verify = || {
        let signature = Signature::from_compact(signature)?;
        LIBRARY.verify_ecdsa(&Message::from_digest(*hash), &signature, &PublicKey::from_slice(key)?)
    };
    verify().map_err(|_: secp256k1::Error| WrongSignature)
}

#[cfg(any(target_arch = "wasm32", test))]
pub(super) mod with_k256;

#[cfg(target_arch = "wasm32")]
pub(super) use with_k256::{recover, verify};
