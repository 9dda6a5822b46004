//! Locks by hash: a blob's file is named, or removed, by one task at a time.

use openagents_host::BlobHash;
use tokio::sync::{Mutex, MutexGuard};

/// Blobs whose hashes begin with the same six bits share a lock.
const LOCKS: usize = 64;

pub(super) struct HashLocks([Mutex<()>; LOCKS]);

impl HashLocks {
    pub(super) fn new() -> Self {
        Self([const { Mutex::const_new(()) }; LOCKS])
    }

    /// Waits for the lock of this blob.
    pub(super) async fn lock(&self, hash: &BlobHash) -> Option<MutexGuard<'_, ()>> {
        let first = hash.as_bytes().first().copied().unwrap_or_default();
        match self.0.get(usize::from(first) % LOCKS) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }
}
