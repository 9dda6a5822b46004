//! A signed manifest.
//!
//! The signature is made and checked as follows; any language has what it takes.
//!
//! 1. The document is a JSON object that means the same to every reader (I-JSON, RFC 7493): no key twice in an object, no
//!    integer beyond ±(2^53 − 1).
//! 2. Without its member `signature` it is written in the canonical form of RFC 8785 (JCS): members sorted by the UTF-16
//!    code units of their names, no white space, numbers as ECMAScript writes them, strings with the fewest escapes.
//! 3. `signature` is the BIP-340 Schnorr signature, in lowercase hex, of the SHA-256 of that text's UTF-8, by the key `id`.
//!
//! The text that is hashed begins with `{` and that of a Nostr event with `[`, so a signature of one is never one of the other.

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

/// A manifest whose signature fits: made by [`AgentManifest::signed`], or checked by [`SignedManifest::verify`].
///
/// ```
/// # use openagents_sdk::manifest::{AgentManifest, ManifestError, SignedManifest};
/// # fn check<A: openagents_sdk::Jobs>(keys: &openagents_sdk::nostr::Keys) {
/// let signed = AgentManifest::of::<A>(&keys.public_key()).signed(keys);
/// let received = signed.json(); // as any client gets it from /agent/<npub>/manifest.json
/// assert_eq!(SignedManifest::verify(received).unwrap().manifest().id, keys.public_key());
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SignedManifest {
    manifest: AgentManifest,
    signature: Signature,
    json: Arc<str>,
}

/// Why a text is no agent's manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is no JSON object, or one that means different things to different readers.
    #[error("expected a JSON object without repeated keys and with exact integers: {0}")]
    Json(serde_json::Error),
    /// It is no manifest of schema version 1.0.
    #[error("the manifest is not of the form that schema version 1.0 has: {0}")]
    Form(serde_json::Error),
    /// A field that the signature needs is missing.
    #[error("the manifest has no `{0}`, which must be a text")]
    Missing(&'static str),
    /// A field that the signature needs is not what it must be.
    #[error("the manifest's `{field}` is malformed: {error}")]
    Hex {
        /// Which field: `id` or `signature`.
        field: &'static str,
        /// What was expected.
        error: HexError,
    },
    /// The manifest is not what was signed, or was signed with another key.
    #[error("the signature does not fit the manifest and its id")]
    Signature,
}

impl AgentManifest {
    /// Signs the manifest. Its `id` becomes the key's.
    ///
    /// The same manifest always has the same signature.
    #[must_use]
    pub fn signed(&self, keys: &Keys) -> SignedManifest {
        let mut manifest = self.clone();
        manifest.id = keys.public_key();
        // Texts, finite numbers, lists and maps with textual keys always serialise.
        let signature = keys.sign(&digest(&manifest).unwrap_or_default());
        let document = ManifestDocument { manifest: &manifest, signature: &signature };
        let json = serde_json::to_string(&document).unwrap_or_default().into();
        SignedManifest { manifest, signature, json }
    }
}

impl SignedManifest {
    /// Reads a manifest and checks its signature, so that nobody but the key `id` can have made it or changed anything in
    /// it. Whether `id` is the agent one looked for is for the caller to compare.
    ///
    /// # Errors
    /// Says what is wrong with it.
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

    /// The document to serve: the manifest's JSON with `signature`.
    #[must_use]
    pub fn json(&self) -> &Arc<str> {
        &self.json
    }
}

/// What is served.
#[derive(Serialize)]
struct ManifestDocument<'a> {
    #[serde(flatten)]
    manifest: &'a AgentManifest,
    signature: &'a Signature,
}

/// Takes a text out of an object.
fn take_text(document: &mut Value, field: &'static str) -> Result<String, ManifestError> {
    let member = document.as_object_mut().and_then(|members| members.remove(field));
    match member {
        Some(Value::String(text)) => Ok(text),
        _ => Err(ManifestError::Missing(field)),
    }
}

/// What is signed: the SHA-256 of the canonical form (RFC 8785).
fn digest(document: &impl Serialize) -> Result<[u8; 32], serde_json::Error> {
    Ok(Sha256::digest(canonical_json(document)?).into())
}
