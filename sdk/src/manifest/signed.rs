//! `SignedManifest`: a manifest and its signature.
//!
//! Signing and verifying needs nothing that is specific to Rust:
//!
//! 1. The document is a JSON object that every reader understands in the same way (I-JSON, RFC 7493): no duplicate keys,
//!    no integer outside ±(2^53 − 1).
//! 2. Without its member `signature`, it is written in canonical form (RFC 8785, JCS): members sorted by the UTF-16 code
//!    units of their names, no white space, numbers as in ECMAScript, strings with as few escapes as possible.
//! 3. `signature` is the BIP-340 Schnorr signature with the key `id`, in lowercase hex, of the SHA-256 hash of that text in
//!    UTF-8.
//!
//! The hashed text begins with `{`, and that of a Nostr event with `[`, so a signature of one is never valid for the
//! other.

use std::sync::Arc;

use openagents_host::nostr::schnorr;
use openagents_host::nostr::{HexError, Signature};
use openagents_host::{Keys, PublicKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::AgentManifest;
use super::canonical::canonical_json;
use super::strict_json::StrictJson;

const ID: &str = "id";
const SIGNATURE: &str = "signature";

/// A manifest with a valid signature, made by [`AgentManifest::signed`] or checked by [`SignedManifest::verify`].
///
/// ```
/// # use openagents_sdk::manifest::{AgentManifest, ManifestError, SignedManifest};
/// # fn check<A: openagents_sdk::Jobs>(keys: &openagents_sdk::nostr::Keys) {
/// let signed = AgentManifest::of::<A>(&keys.public_key()).signed(keys);
/// let received = signed.json(); // as served at /agent/<npub>/manifest.json
/// assert_eq!(SignedManifest::verify(received).unwrap().manifest().id, keys.public_key());
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SignedManifest {
    manifest: AgentManifest,
    signature: Signature,
    json: Arc<str>,
}

/// Why a document is not a valid signed manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is not a JSON object, or one that readers may interpret differently.
    #[error("expected a JSON object without duplicate keys and with integers within ±2^53: {0}")]
    Json(serde_json::Error),
    /// It is not a manifest of schema version 1.0.
    #[error("the manifest does not follow schema version 1.0: {0}")]
    Form(serde_json::Error),
    /// A required string field is missing.
    #[error("the manifest lacks the string field `{0}`")]
    Missing(&'static str),
    /// A hex field is malformed.
    #[error("the manifest's `{field}` is malformed: {error}")]
    Hex {
        /// The field: `id` or `signature`.
        field: &'static str,
        /// What is wrong with it.
        error: HexError,
    },
    /// The manifest was changed after it was signed, or signed with another key.
    #[error("the signature is not valid for the manifest and its id")]
    Signature,
}

impl AgentManifest {
    /// Signs the manifest and sets its `id` to the key's public key.
    ///
    /// The same manifest always has the same signature.
    #[must_use]
    pub fn signed(&self, keys: &Keys) -> SignedManifest {
        let mut manifest = self.clone();
        manifest.id = keys.public_key();
        // Strings, finite numbers, lists and maps with string keys always serialise.
        let signature = keys.sign(&digest(&manifest).unwrap_or_default());
        let document = ManifestDocument { manifest: &manifest, signature: &signature };
        let json = serde_json::to_string(&document).unwrap_or_default().into();
        SignedManifest { manifest, signature, json }
    }
}

impl SignedManifest {
    /// Reads a manifest and verifies its signature: it was signed with the key `id` and not changed since. The caller
    /// must check that `id` is the expected agent.
    ///
    /// # Errors
    /// When the document is malformed or the signature is invalid.
    pub fn verify(json: &str) -> Result<Self, ManifestError> {
        let StrictJson(mut document) = serde_json::from_str(json).map_err(ManifestError::Json)?;
        let signature = take_text(&mut document, SIGNATURE)?;
        let signature = Signature::from_hex(&signature)
            .map_err(|error| ManifestError::Hex { field: SIGNATURE, error })?;
        let id = document.get(ID).and_then(Value::as_str).ok_or(ManifestError::Missing(ID))?;
        let id = PublicKey::from_hex(id).map_err(|error| ManifestError::Hex { field: ID, error })?;
        if !schnorr::verify(&id, &digest(&document).map_err(ManifestError::Json)?, &signature) {
            return Err(ManifestError::Signature);
        }
        let manifest = AgentManifest::deserialize(&document).map_err(ManifestError::Form)?;
        Ok(Self { manifest, signature, json: json.into() })
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &AgentManifest {
        &self.manifest
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The signed document: the manifest's JSON with `signature`.
    #[must_use]
    pub fn json(&self) -> &Arc<str> {
        &self.json
    }
}

/// The signed document.
#[derive(Serialize)]
struct ManifestDocument<'a> {
    #[serde(flatten)]
    manifest: &'a AgentManifest,
    signature: &'a Signature,
}

/// Removes a string field from an object and returns it.
fn take_text(document: &mut Value, field: &'static str) -> Result<String, ManifestError> {
    let member = document.as_object_mut().and_then(|members| members.remove(field));
    match member {
        Some(Value::String(text)) => Ok(text),
        _ => Err(ManifestError::Missing(field)),
    }
}

/// The hash to sign: SHA-256 of the canonical form (RFC 8785).
fn digest(document: &impl Serialize) -> Result<[u8; 32], serde_json::Error> {
    Ok(Sha256::digest(canonical_json(document)?).into())
}
