//! What the index knows of a blob.

use openagents_host::BlobHash;
use serde::{Deserialize, Serialize};

use crate::media_type::MediaType;

/// A stored blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRecord {
    /// The SHA-256 of its bytes.
    pub hash: BlobHash,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub media_type: MediaType,
    /// When it was uploaded, in seconds since the Unix epoch; in a list, when its owner uploaded it.
    pub uploaded: u64,
    /// When it will be gone, in seconds since the Unix epoch; `None` if it is kept.
    pub expires: Option<u64>,
}

/// How much the index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexStatistics {
    /// The number of blobs.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The number of keys that own one.
    pub owners: u64,
    /// Uploads that have begun.
    pub reservations: u64,
    /// Blobs whose bytes are still to be removed.
    pub removals: u64,
    /// Reports of blobs to the operator.
    pub reports: u64,
}
