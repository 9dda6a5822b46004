//! `context.blobs()`: the agent's own blobs, on the blob server beside it.

use openagents_blossom::{BlobDescriptor, BlobError, MediaType};
use openagents_host::BlobHash;
use openagents_host::http::Bytes;

use super::AgentContext;
use crate::error::JobError;

/// The most bytes of a blob that a handler reads at once: it has them in memory, and a Worker has 128 MB.
const MAX_READ_BYTES: usize = 32 * 1024 * 1024;

/// The agent's blobs: bytes that are known by their SHA-256, on the blob server (Blossom) of its deployment.
///
/// Everybody may read them, by URL. They are stored under the agent's key, and stay until the agent deletes them, or for
/// `BLOSSOM_TTL`. Unlike memory, a blob is stored at once, also if the run then fails: storing the same bytes again
/// changes nothing.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// async fn draw(title: Text, context: JobContext) -> JobResult<String> {
///     let svg = format!("<svg xmlns='http://www.w3.org/2000/svg'><text y='20'>{title}</text></svg>");
///     let blob = context.blobs().store(svg, "image/svg+xml").await?;
///     Ok(blob.url)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Blobs<'a>(&'a AgentContext);

impl AgentContext {
    /// The agent's own blobs.
    #[must_use]
    pub fn blobs(&self) -> Blobs<'_> {
        Blobs(self)
    }
}

impl Blobs<'_> {
    /// Stores bytes of this media type, such as `image/png`. The URL of the descriptor is below `RELAY_URL`; in a deployment
    /// without one, it is a `blossom:` URI (BUD-10).
    ///
    /// # Errors
    /// A final error when the media type is not one, or the blob is larger than `BLOSSOM_MAX_SIZE`; one that is worth another
    /// attempt when the disk is full or R2 fails.
    pub async fn store(&self, bytes: impl Into<Bytes>, media_type: &str) -> Result<BlobDescriptor, JobError> {
        let media_type: MediaType = media_type.parse().map_err(|error| {
            JobError::failed("the agent could not store a file").caused_by(format!("`{media_type}`: {error}"))
        })?;
        let stored = self.0.host().store_blob(bytes.into(), media_type).await;
        stored.map_err(|error| failed("the agent could not store a file", error))
    }

    /// The bytes of a blob of this deployment, whoever uploaded it; `None` if it is not here.
    ///
    /// # Errors
    /// When it has more than 32 MiB, or the disk or R2 fails.
    pub async fn read(&self, hash: &BlobHash) -> Result<Option<Bytes>, JobError> {
        let read = self.0.host().read_blob(hash, MAX_READ_BYTES).await;
        read.map_err(|error| failed("the agent could not read a file", error))
    }

    /// Deletes a blob of the agent, and returns whether it had it. One that others uploaded as well stays theirs.
    ///
    /// # Errors
    /// When the index of blobs fails.
    pub async fn delete(&self, hash: &BlobHash) -> Result<bool, JobError> {
        let deleted = self.0.host().delete_blob(hash).await;
        deleted.map_err(|error| failed("the agent could not delete a file", error))
    }
}

fn failed(told: &'static str, error: BlobError) -> JobError {
    let failed = if error.is_temporary { JobError::retry(told) } else { JobError::failed(told) };
    failed.caused_by(error)
}
