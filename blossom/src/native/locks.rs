//! Locks by hash: a blob's file is named, or removed, by one task at a time.

use openagents_host::BlobHash;
use tokio::sync::{Mutex, MutexGuard};

/// The number of locks. Blobs share one if the first bytes of their hashes are equal modulo this.
const LOCKS: usize = 64;

pub(super) struct HashLocks([Mutex<()>; LOCKS]);

impl HashLocks {
    pub(super) fn new() -> Self {
        Self([const { Mutex::const_new(()) }; LOCKS])
    }

    /// Waits for the lock of this blob.
    pub(super) async fn lock(&self, hash: &BlobHash) -> MutexGuard<'_, ()> {
        let ([first_byte, ..], [first_lock, ..]) = (hash.as_bytes(), &self.0);
        self.0.get(usize::from(*first_byte) % LOCKS).unwrap_or(first_lock).lock().await
    }
}
