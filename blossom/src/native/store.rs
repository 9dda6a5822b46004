//! An upload, natively: the body goes to a file while it is hashed, the file gets its name, and the index is told, each step
//! durable before the next.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use openagents_host::BlobHash;
use openagents_host::http::{Body, ByteStream, StatusCode};
use openagents_host::native::now;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::files::{BlobFiles, CompleteFile, IncomingFile};
use super::shared::Shared;
use crate::index::{IndexRead, IndexReply, IndexWrite, UploadAnswer};
use crate::refusal::Refusal;
use crate::service::{BlobHost as _, accepted, claim_existing};
use crate::upload::{UploadRequest, check_size};

/// How many bytes are gathered before they are written, in one step with their hash.
const WRITTEN_AT_ONCE: usize = 128 * 1024;

/// How long a client may send nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The slowest upload, in bytes per second, beyond [`FIRST_SECONDS`].
const MIN_RATE: u64 = 8 * 1024;

/// How long every upload may take.
const FIRST_SECONDS: u64 = 60;

/// How much of a body that is not needed is read, in bytes, so that its client sees the answer and not a closed connection.
const MAX_DISCARDED: u64 = 128 * 1024 * 1024;

/// Stores the body of a request, unless the blob exists.
pub(super) async fn store(
    shared: &Arc<Shared>,
    request: &UploadRequest,
    body: Body,
) -> Result<UploadAnswer, Refusal> {
    let _in_flight = shared.in_flight.add(request.owner(), request.size.unwrap_or(0));
    if let Some(hash) = request.hash {
        let claimed = claim_existing(
            shared,
            request.upload(hash, shared.in_flight.of(&request.owner()), &shared.config, now()),
        )
        .await?;
        if let Some(answer) = claimed {
            discard(body).await;
            return Ok(answer);
        }
    }
    let Ok(_permit) = shared.uploads.try_acquire() else {
        return Err(Refusal::unavailable("too many uploads at this moment; try again"));
    };
    let file = receive(shared, request, body).await?;
    let upload = request.upload(file.hash, file.size, &shared.config, now());
    let _lock = shared.locks.lock(&upload.hash).await;
    if let IndexReply::Upload(answer) = Shared::read_index(shared, IndexRead::Judge(upload.clone())).await? {
        accepted(answer)?;
    }
    let files = Arc::clone(&shared.files);
    blocking(move || files.keep(file)).await?;
    match shared.write_index(IndexWrite::Commit(upload)).await? {
        IndexReply::Upload(answer) => accepted(answer),
        _ => Err(Refusal::unavailable("the index is not available; try again")),
    }
}

/// Reads a body into a file with the expected hash.
async fn receive(shared: &Shared, request: &UploadRequest, body: Body) -> Result<CompleteFile, Refusal> {
    let files = Arc::clone(&shared.files);
    let mut stream = match body {
        Body::Stream(stream) => stream,
        Body::Bytes(bytes) => one_chunk(bytes),
        Body::Empty => one_chunk(Bytes::new()),
    };
    let mut writer = Writer::Waiting(None);
    let (mut gathered, mut bytes, mut size) = (Vec::new(), 0_usize, 0_u64);
    let begun = Instant::now();
    loop {
        let slowest = Duration::from_secs(FIRST_SECONDS.saturating_add(size / MIN_RATE));
        let deadline = begun
            .checked_add(slowest)
            .unwrap_or(begun)
            .min(Instant::now().checked_add(IDLE_TIMEOUT).unwrap_or(begun));
        let chunk = match timeout_at(deadline, stream.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(Refusal::bad_request(error.to_string())),
            Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body arrives too slowly")),
        };
        size = size.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        check_size(size, &shared.config)?;
        bytes = bytes.saturating_add(chunk.len());
        gathered.push(chunk);
        if bytes >= WRITTEN_AT_ONCE {
            bytes = 0;
            writer = writer.write(&files, std::mem::take(&mut gathered)).await?;
        }
    }
    let file = writer.finish().await?;
    let expected = request.clone();
    let completed = blocking(move || {
        let mut file = open(file, &files)?;
        for chunk in &gathered {
            file.write(chunk)?;
        }
        file.complete(files.durability(), |hash| expected.is_for(hash))
    });
    completed.await?.map_err(|found| request.wrong_hash(&found))
}

/// A file, and whether bytes are being written to it.
enum Writer {
    /// `None` before the first bytes.
    Waiting(Option<IncomingFile>),
    Writing(JoinHandle<io::Result<IncomingFile>>),
}

impl Writer {
    /// Writes chunks after those before, while the caller receives more.
    async fn write(self, files: &Arc<BlobFiles>, chunks: Vec<Bytes>) -> Result<Self, Refusal> {
        let (file, files) = (self.finish().await?, Arc::clone(files));
        Ok(Self::Writing(spawn_blocking(move || {
            let mut file = open(file, &files)?;
            for chunk in &chunks {
                file.write(chunk)?;
            }
            Ok(file)
        })))
    }

    /// Waits until all is written.
    async fn finish(self) -> Result<Option<IncomingFile>, Refusal> {
        match self {
            Self::Waiting(file) => Ok(file),
            Self::Writing(writing) => written(writing.await).map(Some),
        }
    }
}

fn open(file: Option<IncomingFile>, files: &BlobFiles) -> io::Result<IncomingFile> {
    file.map_or_else(|| files.create(), Ok)
}

fn one_chunk(bytes: Bytes) -> ByteStream {
    ByteStream::new(Box::pin(futures_util::stream::iter([Ok(bytes)])))
}

/// Reads a body that is not needed.
async fn discard(body: Body) {
    let Body::Stream(stream) = body else { return };
    let mut stream = stream.with_limit(MAX_DISCARDED);
    let read = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = tokio::time::timeout(Duration::from_secs(FIRST_SECONDS), read).await;
}

/// Runs file operations where they may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    written(spawn_blocking(work).await)
}

fn written<T>(done: Result<io::Result<T>, tokio::task::JoinError>) -> Result<T, Refusal> {
    let error = match done {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error,
        Err(panic) => io::Error::other(panic),
    };
    tracing::error!(%error, "a blob could not be written");
    Err(Refusal::unavailable(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk of this server is full",
        _ => "the disk of this server fails; its log has the reason",
    }))
}

/// Removes the file of a blob that nobody owns, unless it was uploaded again meanwhile.
pub(super) async fn remove(shared: &Shared, hash: BlobHash) -> bool {
    let _lock = shared.locks.lock(&hash).await;
    match shared.read_index(IndexRead::Find(hash)).await {
        Ok(IndexReply::Found(None)) => {}
        // It exists again.
        Ok(_) => return true,
        Err(_) => return false,
    }
    let files = Arc::clone(&shared.files);
    blocking(move || files.remove(&hash)).await.is_ok()
}
