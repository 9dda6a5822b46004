//! Recovers and verifies the signature of a BOLT 11 invoice with `k256`.

use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};

use super::WrongSignature;

/// The key that made this signature of 65 bytes, of which the last says which of the possible keys it is.
pub(in crate::payment::bolt11) fn recover(
    hash: &[u8; 32],
    signature: &[u8],
) -> Result<[u8; 33], WrongSignature> {
    let (number, signature) = signature.split_last().ok_or(WrongSignature)?;
    let id = RecoveryId::from_byte(*number).ok_or(WrongSignature)?;
    let signature = Signature::from_slice(signature).map_err(|_| WrongSignature)?;
    let key = VerifyingKey::recover_from_prehash(hash, &signature, id).map_err(|_| WrongSignature)?;
    key.to_sec1_point(true).as_bytes().try_into().map_err(|_| WrongSignature)
}

/// Verifies a signature of 65 bytes by this key.
pub(in crate::payment::bolt11) fn verify(
    hash: &[u8; 32],
    signature: &[u8],
    key: &[u8; 33],
) -> Result<(), WrongSignature> {
    let (_, signature) = signature.split_last().ok_or(WrongSignature)?;
    let signature = Signature::from_slice(signature).map_err(|_| WrongSignature)?;
    let key = VerifyingKey::from_sec1_bytes(key).map_err(|_| WrongSignature)?;
    key.verify_prehash(hash, &signature).map_err(|_| WrongSignature)
}
