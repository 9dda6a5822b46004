//! The blob server of a test: the agent's blobs, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openagents_blossom::{BlobDescriptor, MediaType};
use openagents_host::http::Bytes;
use openagents_host::{BlobHash, Timestamp};
use sha2::{Digest as _, Sha256};

/// The blobs of the agent under test. Clones share them.
#[derive(Clone, Default)]
pub(super) struct TestBlobs(Arc<Mutex<BTreeMap<BlobHash, (BlobDescriptor, Bytes)>>>);

impl TestBlobs {
    pub(super) fn store(&self, bytes: Bytes, media_type: MediaType, now: Timestamp) -> BlobDescriptor {
        let hash = BlobHash::from_bytes(Sha256::digest(&bytes).into());
        let descriptor = BlobDescriptor {
            url: format!("blossom:{hash}.{}", media_type.extension()),
            sha256: hash,
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            media_type,
            uploaded: now.as_seconds(),
            nip94: Vec::new(),
        };
        let mut blobs = self.blobs();
        blobs.entry(hash).or_insert((descriptor, bytes)).0.clone()
    }

    pub(super) fn read(&self, hash: &BlobHash) -> Option<Bytes> {
        self.blobs().get(hash).map(|(_, bytes)| bytes.clone())
    }

    pub(super) fn delete(&self, hash: &BlobHash) -> bool {
        self.blobs().remove(hash).is_some()
    }

    pub(super) fn all(&self) -> Vec<(BlobDescriptor, Bytes)> {
        self.blobs().values().cloned().collect()
    }

    fn blobs(&self) -> MutexGuard<'_, BTreeMap<BlobHash, (BlobDescriptor, Bytes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
