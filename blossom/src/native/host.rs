//! Requests on files: what the service needs of a native process.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::http::range::ByteRange;
use openagents_host::http::{Body, ByteStream, Bytes, StatusCode, body::BodyError};
use openagents_host::native::now;
use openagents_host::{BlobHash, Timestamp};
use tokio::task::spawn_blocking;
use url::Url;

use super::files::read_chunk;
use super::shared::{Shared, stopped};
use super::store;
use crate::config::BlossomConfig;
use crate::index::{
    BlobRecord, IndexCall, IndexRead, IndexReply, IndexWrite, UploadAnswer, read as read_index,
};
use crate::refusal::Refusal;
use crate::service::{BlobHost, Fetched, fetch};
use crate::upload::UploadRequest;

/// How many bytes of a blob are read at once.
const READ_AT_ONCE: usize = 128 * 1024;

/// How long another server may take to send a blob.
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a client may take to send a body that is text.
const TEXT_TIMEOUT: Duration = Duration::from_secs(30);

impl BlobHost for Arc<Shared> {
    type Upload = Body;
    type Content = Body;

    fn config(&self) -> &BlossomConfig {
        &self.config
    }

    fn now(&self) -> Timestamp {
        now()
    }

    async fn read_index(&self, read: IndexRead) -> Result<IndexReply, Refusal> {
        Shared::read_index(self, read).await
    }

    async fn write_index(&self, write: IndexWrite) -> Result<IndexReply, Refusal> {
        self.call(IndexCall::Write(write)).await
    }

    async fn store(&self, request: &UploadRequest, body: Body) -> Result<UploadAnswer, Refusal> {
        store::store(self, request, body).await
    }

    async fn find(&self, hash: &BlobHash) -> Result<Option<BlobRecord>, Refusal> {
        match Shared::read_index(self, IndexRead::Find(*hash)).await? {
            IndexReply::Found(found) => Ok(found),
            _ => Ok(None),
        }
    }

    async fn open(
        &self,
        hash: &BlobHash,
        range: Option<ByteRange>,
    ) -> Result<Option<(BlobRecord, Body)>, Refusal> {
        let (hash, files) = (*hash, Arc::clone(&self.files));
        let opened = self.readers.run(move |sql| {
            let found = read_index(sql, &IndexRead::Find(hash), now()).map_err(io::Error::other)?;
            let IndexReply::Found(Some(record)) = found else { return Ok(None) };
            let (first, length) = range.map_or((0, record.size), |range| (range.first(), range.length()));
            let mut file = files.open_blob(&hash, first)?;
            let chunk = read_chunk(&mut file, at_once(length))?;
            Ok::<_, io::Error>(Some((record, file, chunk, length)))
        });
        let (record, file, chunk, length) = match opened.await {
            Ok(Ok(Some(opened))) => opened,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => {
                tracing::error!(%error, %hash, "a blob could not be read");
                return Err(Refusal::unavailable("the blob cannot be read; the log has the reason"));
            }
            Err(_) => return Err(stopped()),
        };
        Ok(Some((record, content(file, chunk, length))))
    }

    fn upload_of(&self, bytes: Bytes) -> Body {
        bytes.into()
    }

    async fn content_bytes(&self, content: Body, max_bytes: usize) -> Result<Bytes, Refusal> {
        let read = content.read_to_end(max_bytes).await;
        read.map_err(|error| Refusal::unavailable(format!("the blob cannot be read: {error}")))
    }

    async fn text(&self, body: Body, max_bytes: usize) -> Result<Bytes, Refusal> {
        let read = tokio::time::timeout(TEXT_TIMEOUT, body.read_to_end(max_bytes)).await;
        match read {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error @ BodyError::TooLong { .. })) => {
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()))
            }
            Ok(Err(error)) => Err(Refusal::bad_request(error.to_string())),
            Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body arrives too slowly")),
        }
    }

    async fn fetch(&self, url: &Url, max_bytes: u64) -> Result<Fetched<Body>, Refusal> {
        fetch(url, self.config.reach, max_bytes, FETCH_TIMEOUT).await
    }
}

/// The bytes of a blob, of which the first were read already.
fn content(file: File, first: Bytes, length: u64) -> Body {
    let rest = length.saturating_sub(u64::try_from(first.len()).unwrap_or(u64::MAX));
    if rest == 0 {
        return first.into();
    }
    let state = (Some(first), file, rest);
    let chunks = futures_util::stream::try_unfold(state, async |(first, mut file, rest)| {
        if let Some(first) = first {
            return Ok(Some((first, (None, file, rest))));
        }
        if rest == 0 {
            return Ok(None);
        }
        let read = spawn_blocking(move || {
            let chunk = read_chunk(&mut file, at_once(rest))?;
            Ok::<_, io::Error>((chunk, file))
        });
        let failed = |error: String| BodyError::Interrupted(error);
        let (chunk, file) = match read.await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(panic) => return Err(failed(panic.to_string())),
        };
        if chunk.is_empty() {
            return Err(failed("the file is shorter than the blob".to_owned()));
        }
        let rest = rest.saturating_sub(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        Ok(Some((chunk, (None, file, rest))))
    });
    ByteStream::new(Box::pin(chunks)).with_length(length).into()
}

fn at_once(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX).min(READ_AT_ONCE)
}
