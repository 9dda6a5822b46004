//! The blob server of a test: the agent's blobs and its customers' files, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openagents_blossom::{BlobDescriptor, BlobRecord, MediaType};
use openagents_host::http::Bytes;
use openagents_host::{BlobHash, Timestamp};
use sha2::{Digest as _, Sha256};

/// A file that a test's customer uploads.
#[derive(Clone, Debug)]
pub(super) struct TestFile {
    pub(super) bytes: Bytes,
    pub(super) media_type: MediaType,
}

impl TestFile {
    /// Where the agent finds it.
    pub(super) fn url(&self) -> String {
        url_of(&hash_of(&self.bytes), &self.media_type)
    }
}

fn hash_of(bytes: &Bytes) -> BlobHash {
    BlobHash::from_bytes(Sha256::digest(bytes).into())
}

fn url_of(hash: &BlobHash, media_type: &MediaType) -> String {
    format!("blossom:{hash}.{}", media_type.extension())
}

/// The blobs on the server of the agent under test. Clones share them.
#[derive(Clone, Default)]
pub(super) struct TestBlobs(Arc<Mutex<BTreeMap<BlobHash, TestBlob>>>);

struct TestBlob {
    descriptor: BlobDescriptor,
    bytes: Bytes,
    /// Whether the agent has stored it, and a customer has uploaded it.
    is_agents: bool,
    is_customers: bool,
}

impl TestBlobs {
    /// Stores a blob of the agent.
    pub(super) fn store(&self, bytes: Bytes, media_type: MediaType, now: Timestamp) -> BlobDescriptor {
        let mut blobs = self.blobs();
        let blob = entry(&mut blobs, bytes, media_type, now);
        blob.is_agents = true;
        blob.descriptor.clone()
    }

    /// Stores a file of a customer.
    pub(super) fn upload(&self, file: &TestFile, now: Timestamp) {
        entry(&mut self.blobs(), file.bytes.clone(), file.media_type.clone(), now).is_customers = true;
    }

    pub(super) fn find(&self, hash: &BlobHash) -> Option<BlobRecord> {
        let blobs = self.blobs();
        let descriptor = &blobs.get(hash)?.descriptor;
        Some(BlobRecord {
            hash: *hash,
            size: descriptor.size,
            media_type: descriptor.media_type.clone(),
            uploaded: descriptor.uploaded,
            expires: None,
        })
    }

    pub(super) fn read(&self, hash: &BlobHash) -> Option<Bytes> {
        self.blobs().get(hash).map(|blob| blob.bytes.clone())
    }

    /// Takes a blob from the agent. Returns whether it was the agent's.
    pub(super) fn delete(&self, hash: &BlobHash) -> bool {
        let mut blobs = self.blobs();
        let was_agents = blobs.get_mut(hash).is_some_and(|blob| std::mem::take(&mut blob.is_agents));
        blobs.retain(|_, blob| blob.is_agents || blob.is_customers);
        was_agents
    }

    /// The agent's own.
    pub(super) fn of_agent(&self) -> Vec<(BlobDescriptor, Bytes)> {
        let blobs = self.blobs();
        let own = blobs.values().filter(|blob| blob.is_agents);
        own.map(|blob| (blob.descriptor.clone(), blob.bytes.clone())).collect()
    }

    fn blobs(&self) -> MutexGuard<'_, BTreeMap<BlobHash, TestBlob>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(
    blobs: &mut BTreeMap<BlobHash, TestBlob>,
    bytes: Bytes,
    media_type: MediaType,
    now: Timestamp,
) -> &mut TestBlob {
    let hash = hash_of(&bytes);
    blobs.entry(hash).or_insert_with(|| {
        let descriptor = BlobDescriptor {
            url: url_of(&hash, &media_type),
            sha256: hash,
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            media_type,
            uploaded: now.as_seconds(),
            nip94: Vec::new(),
        };
        TestBlob { descriptor, bytes, is_agents: false, is_customers: false }
    })
}
