//! `BlobHost`: what the service needs of its host.

use openagents_host::http::range::ByteRange;
use openagents_host::http::{Bytes, Response};
use openagents_host::{BlobHash, Timestamp};
use url::Url;

use super::fetch::Fetched;
use crate::config::BlossomConfig;
use crate::index::{BlobRecord, IndexRead, IndexReply, IndexWrite, UploadAnswer};
use crate::refusal::Refusal;
use crate::upload::UploadRequest;

/// Where bytes are stored and the index is kept.
pub(crate) trait BlobHost {
    /// The body of a request.
    type Upload;
    /// The bytes of a blob, or of a part of one.
    type Content;

    fn config(&self) -> &BlossomConfig;

    fn now(&self) -> Timestamp;

    async fn read_index(&self, read: IndexRead) -> Result<IndexReply, Refusal>;

    async fn write_index(&self, write: IndexWrite) -> Result<IndexReply, Refusal>;

    /// Stores a body and commits it to the index, unless the blob exists. The answer is durable.
    async fn store(&self, request: &UploadRequest, body: Self::Upload) -> Result<UploadAnswer, Refusal>;

    /// A blob without its bytes.
    async fn find(&self, hash: &BlobHash) -> Result<Option<BlobRecord>, Refusal>;

    /// A blob, and its bytes or a part of them.
    async fn open(
        &self,
        hash: &BlobHash,
        range: Option<ByteRange>,
    ) -> Result<Option<(BlobRecord, Self::Content)>, Refusal>;

    /// Bytes as the body of a request.
    fn upload_of(&self, bytes: Bytes) -> Self::Upload;

    /// The bytes of a blob that was opened, at most this many.
    async fn content_bytes(&self, content: Self::Content, max_bytes: usize) -> Result<Bytes, Refusal>;

    /// The body of a request, of at most this many bytes.
    async fn text(&self, body: Self::Upload, max_bytes: usize) -> Result<Bytes, Refusal>;

    /// Reads from another server, at most `max_bytes`.
    async fn fetch(&self, url: &Url, max_bytes: u64) -> Result<Fetched<Self::Upload>, Refusal>;
}

/// The answer to a request.
pub(crate) enum Answer<C> {
    /// A whole response.
    Finished(Response),
    /// A head, whose body is these bytes of a blob.
    Content(Response, C),
}

impl<C> Answer<C> {
    pub(crate) fn head_mut(&mut self) -> &mut Response {
        match self {
            Self::Finished(head) | Self::Content(head, _) => head,
        }
    }
}
