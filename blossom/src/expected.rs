//! Expected uploads: blobs of people who may not upload otherwise, but whom the deployment has a reason to let upload this
//! one, such as a file for a job.

use std::time::Duration;

use openagents_host::{BlobHash, PublicKey};

/// What the deployment expects to be uploaded. The blob server asks for uploads of keys that may not upload otherwise.
pub trait ExpectedUploads {
    /// The limits for this blob of this key; `None` if nobody expects it.
    fn expected(
        &self,
        owner: &PublicKey,
        hash: &BlobHash,
    ) -> impl Future<Output = Option<ExpectedUploadLimits>>;

    /// An expected upload has been stored, or the blob was there already. If the process ends at the wrong moment, this is
    /// not called.
    fn arrived(&self, owner: &PublicKey, hash: &BlobHash) -> impl Future<Output = ()>;
}

/// The limits for an expected upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedUploadLimits {
    /// The size of the largest blob, in bytes. That of the configuration applies as well.
    pub max_bytes: u64,
    /// How many bytes its owner may have on this server.
    pub quota: u64,
    /// How many bytes all expected uploads that are kept may have together.
    pub total: u64,
    /// How long it is kept. The time to live of the configuration applies as well.
    pub kept_for: Duration,
}

/// Expects nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingExpected;

impl ExpectedUploads for NothingExpected {
    async fn expected(&self, _: &PublicKey, _: &BlobHash) -> Option<ExpectedUploadLimits> {
        None
    }

    async fn arrived(&self, _: &PublicKey, _: &BlobHash) {}
}
