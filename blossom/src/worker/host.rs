//! Requests in a Worker: between the client and R2, with calls to the index's object.

use std::cell::Cell;
use std::time::Duration;

use ::worker::web_sys::ReadableStream;
use ::worker::{Env, Request, Response, ResponseBody, ResponseBuilder, Result, console_error};
use openagents_host::http::body::BodyError;
use openagents_host::http::range::ByteRange;
use openagents_host::http::{Body, Bytes, Parts, StatusCode};
use openagents_host::worker::{ObjectAddress, http as worker_http, now, rpc};
use openagents_host::{BlobHash, PublicKey, Timestamp, timeout};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::BUCKET_BINDING;
use super::bucket::{self, BlobBucket, Put};
use crate::config::BlossomConfig;
use crate::descriptor::BlobDescriptor;
use crate::expected::ExpectedUploads;
use crate::index::{
    BlobRecord, IndexCall, IndexRead, IndexReply, IndexStatistics, IndexWrite, Upload, UploadAnswer,
};
use crate::media_type::MediaType;
use crate::refusal::Refusal;
use crate::response::set_common_headers;
use crate::route::BlobRoute;
use crate::service::own::{self, BlobError, OwnerBan};
use crate::service::{self, Answer, BlobHost, Fetched, accepted, fetch};
use crate::upload::UploadRequest;

/// The largest body that is held in memory, in bytes: one whose hash or length is not known in advance.
const MAX_HELD_BYTES: usize = 8 * 1024 * 1024;

/// The most such bodies at once: an isolate has 128 MB for all its requests.
const MAX_HELD_BODIES: usize = 4;

thread_local! {
    /// How many bodies are held at this moment.
    static HELD_BODIES: Cell<usize> = const { Cell::new(0) };
}

/// A body that is held in memory, until this is dropped.
struct HeldBody;

impl HeldBody {
    fn begin() -> std::result::Result<Self, Refusal> {
        let held = HELD_BODIES.get();
        if held >= MAX_HELD_BODIES {
            return Err(Refusal::unavailable(
                "too many uploads of which neither X-SHA-256 nor the only `x` tag tells the hash; try again, with the header",
            ));
        }
        HELD_BODIES.set(held.saturating_add(1));
        Ok(Self)
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        HELD_BODIES.set(HELD_BODIES.get().saturating_sub(1));
    }
}

/// How long the index may take to answer.
const INDEX_TIMEOUT: Duration = Duration::from_secs(20);

/// How long another server may take to send a blob.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// A binding that the blob server of this Worker needs and does not have: `wrangler.toml` leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum MissingBinding {
    #[error(
        "this Worker has no blob server: wrangler.toml must bind the class BlossomDurableObject to the name BLOSSOM"
    )]
    Index,
    #[error(
        "this Worker has no blob server: wrangler.toml must bind an R2 bucket to the name {BUCKET_BINDING}"
    )]
    Bucket,
}

impl MissingBinding {
    fn of(env: &Env) -> Option<Self> {
        if ObjectAddress::Blossom.stub(env).is_err() {
            return Some(Self::Index);
        }
        BlobBucket::of(env).is_err().then_some(Self::Bucket)
    }
}

/// Whether `wrangler.toml` binds what the blob server needs.
#[must_use]
pub fn is_bound(env: &Env) -> bool {
    MissingBinding::of(env).is_none()
}

/// Answers a request for the blob server; with 503 if `wrangler.toml` does not bind what that needs. Keys that may not upload
/// otherwise may upload what is `expected` of them.
///
/// # Errors
/// When the runtime refuses to build the response.
pub async fn answer(
    env: &Env,
    config: BlossomConfig,
    route: BlobRoute,
    parts: &Parts,
    request: Request,
    expected: &impl ExpectedUploads,
) -> Result<Response> {
    if let Some(missing) = MissingBinding::of(env) {
        let mut response = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, missing.to_string()).into_response();
        set_common_headers(response.headers_mut());
        return worker_http::response(response, &parts.method);
    }
    let host = WorkerBlobs { env, config };
    match service::answer(&host, expected, route, parts, WorkerBody::Runtime(request)).await {
        Answer::Finished(response) => worker_http::response(response, &parts.method),
        Answer::Content(head, content) => {
            let headers = worker_http::headers(head.headers())?;
            let builder = ResponseBuilder::new().with_status(head.status().as_u16()).with_headers(headers);
            Ok(builder.body(ResponseBody::Stream(content)))
        }
    }
}

/// Stores a blob of the deployment's own agent, which needs no authorization.
///
/// # Errors
/// When it is too large or blocked, or R2 or the index fails.
pub async fn store(
    env: &Env,
    config: BlossomConfig,
    owner: PublicKey,
    bytes: Bytes,
    media_type: MediaType,
) -> std::result::Result<BlobDescriptor, BlobError> {
    own::store(&WorkerBlobs { env, config }, owner, bytes, media_type).await
}

/// A blob without its bytes; `None` if it is not here.
///
/// # Errors
/// When R2 fails.
pub async fn find(
    env: &Env,
    config: BlossomConfig,
    hash: &BlobHash,
) -> std::result::Result<Option<BlobRecord>, BlobError> {
    own::find(&WorkerBlobs { env, config }, hash).await
}

/// The bytes of a blob; `None` if it is not here.
///
/// # Errors
/// When it has more than `max_bytes`, or R2 fails.
pub async fn read(
    env: &Env,
    config: BlossomConfig,
    hash: &BlobHash,
    max_bytes: usize,
) -> std::result::Result<Option<Bytes>, BlobError> {
    own::read(&WorkerBlobs { env, config }, hash, max_bytes).await
}

/// Takes a blob from this key, and returns whether it was its owner.
///
/// # Errors
/// When the index fails.
pub async fn delete(
    env: &Env,
    config: BlossomConfig,
    hash: &BlobHash,
    owner: PublicKey,
) -> std::result::Result<bool, BlobError> {
    own::delete(&WorkerBlobs { env, config }, hash, owner).await
}

/// Carries out an operator's decision about a key (NIP-86). Doing it twice changes nothing.
///
/// # Errors
/// When the index fails.
pub async fn apply_ban(
    env: &Env,
    config: BlossomConfig,
    ban: OwnerBan,
) -> std::result::Result<(), BlobError> {
    own::apply_ban(&WorkerBlobs { env, config }, ban).await
}

/// Takes all blobs from a key that has vanished (NIP-62), as far as they were uploaded until this second.
///
/// # Errors
/// When the index fails.
pub async fn remove_owner(
    env: &Env,
    config: BlossomConfig,
    owner: PublicKey,
    until: u64,
) -> std::result::Result<(), BlobError> {
    own::remove_owner(&WorkerBlobs { env, config }, owner, until).await
}

/// How much there is; `None` if the index does not answer.
pub async fn statistics(env: &Env) -> Option<IndexStatistics> {
    match call_index(env, IndexCall::Read(IndexRead::Statistics)).await {
        Ok(IndexReply::Statistics(statistics)) => Some(statistics),
        _ => None,
    }
}

struct WorkerBlobs<'a> {
    env: &'a Env,
    config: BlossomConfig,
}

/// The body of a request: in the runtime, or read by this program.
enum WorkerBody {
    Runtime(Request),
    Read(Body),
}

impl WorkerBody {
    /// The bytes, of which there may be this many.
    async fn read(self, max_bytes: usize) -> std::result::Result<Bytes, BodyError> {
        match self {
            Self::Runtime(mut request) => {
                let body = worker_http::body(&mut request);
                let body = body.map_err(|error| BodyError::Interrupted(error.to_string()))?;
                body.read_to_end(max_bytes).await
            }
            Self::Read(body) => body.read_to_end(max_bytes).await,
        }
    }
}

impl BlobHost for WorkerBlobs<'_> {
    type Upload = WorkerBody;
    type Content = ReadableStream;

    fn config(&self) -> &BlossomConfig {
        &self.config
    }

    fn now(&self) -> Timestamp {
        now()
    }

    async fn read_index(&self, read: IndexRead) -> std::result::Result<IndexReply, Refusal> {
        call_index(self.env, IndexCall::Read(read)).await
    }

    async fn write_index(&self, write: IndexWrite) -> std::result::Result<IndexReply, Refusal> {
        call_index(self.env, IndexCall::Write(write)).await
    }

    async fn store(
        &self,
        request: &UploadRequest,
        body: WorkerBody,
    ) -> std::result::Result<UploadAnswer, Refusal> {
        let is_held = request.hash.is_none() || request.size.is_none();
        let _held = is_held.then(HeldBody::begin).transpose()?;
        let (upload, bytes) = self.prepare(request, body).await?;
        let IndexReply::Upload(answer) = self.write_index(IndexWrite::Reserve(upload.clone())).await? else {
            return Err(unexpected());
        };
        let answer = accepted(answer)?;
        if answer != UploadAnswer::Wanted {
            return Ok(answer);
        }
        let stored = self.put(&upload, bytes).await;
        if !matches!(stored, Ok(Put::Stored)) {
            let abandon = IndexWrite::Abandon { hash: upload.hash, owner: upload.owner };
            // If this fails as well, the reservation ends by itself.
            let _ = self.write_index(abandon).await;
        }
        match stored? {
            Put::Stored => {}
            Put::WrongHash => return Err(request.wrong_body()),
        }
        match self.write_index(IndexWrite::Commit(upload)).await? {
            IndexReply::Upload(answer) => accepted(answer),
            _ => Err(unexpected()),
        }
    }

    async fn find(&self, hash: &BlobHash) -> std::result::Result<Option<BlobRecord>, Refusal> {
        let found = self.bucket()?.head(hash).await.map_err(|error| failed(&error))?;
        Ok(found.filter(is_kept))
    }

    async fn open(
        &self,
        hash: &BlobHash,
        range: Option<ByteRange>,
    ) -> std::result::Result<Option<(BlobRecord, ReadableStream)>, Refusal> {
        let found = self.bucket()?.read(hash, range).await.map_err(|error| failed(&error))?;
        Ok(found.filter(|(record, _)| is_kept(record)))
    }

    fn upload_of(&self, bytes: Bytes) -> WorkerBody {
        WorkerBody::Read(bytes.into())
    }

    async fn content_bytes(
        &self,
        content: ReadableStream,
        max_bytes: usize,
    ) -> std::result::Result<Bytes, Refusal> {
        let response = ResponseBuilder::new().body(ResponseBody::Stream(content));
        let body = worker_http::fetched(response).map_err(|error| failed(&error))?.into_body();
        let read = body.read_to_end(max_bytes).await;
        read.map_err(|error| Refusal::unavailable(format!("the blob cannot be read: {error}")))
    }

    async fn text(&self, body: WorkerBody, max_bytes: usize) -> std::result::Result<Bytes, Refusal> {
        body.read(max_bytes).await.map_err(|error| match error {
            BodyError::TooLong { .. } => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
            error => Refusal::bad_request(error.to_string()),
        })
    }

    async fn fetch(&self, url: &Url, max_bytes: u64) -> std::result::Result<Fetched<WorkerBody>, Refusal> {
        let Fetched { media_type, size, body } =
            fetch(url, self.config.reach, max_bytes, FETCH_TIMEOUT).await?;
        Ok(Fetched { media_type, size, body: WorkerBody::Read(body) })
    }
}

impl WorkerBlobs<'_> {
    fn bucket(&self) -> std::result::Result<BlobBucket, Refusal> {
        BlobBucket::of(self.env).map_err(|_| Refusal::unavailable(MissingBinding::Bucket.to_string()))
    }

    /// Determines the hash and the size of an upload. Only a body of which one is not known in advance is read for it.
    async fn prepare(
        &self,
        request: &UploadRequest,
        body: WorkerBody,
    ) -> std::result::Result<(Upload, bucket::Bytes), Refusal> {
        if let (Some(hash), Some(size)) = (request.hash, request.size) {
            let upload = request.upload(hash, size, &self.config, now());
            let bytes = match body {
                WorkerBody::Runtime(request) => match request.inner().body() {
                    Some(stream) => bucket::Bytes::Stream(stream),
                    None => bucket::Bytes::Vec(Vec::new()),
                },
                WorkerBody::Read(Body::Stream(stream)) if stream.length().is_some() => {
                    bucket::Bytes::Stream(worker_http::readable(stream).map_err(|error| failed(&error))?)
                }
                // The agent's own, which are in memory already.
                WorkerBody::Read(Body::Bytes(bytes)) => bucket::Bytes::Vec(bytes.to_vec()),
                body => bucket::Bytes::Vec(read_held(body).await?),
            };
            return Ok((upload, bytes));
        }
        if request.size.is_some_and(|size| usize::try_from(size).map_or(true, |size| size > MAX_HELD_BYTES)) {
            let reason =
                "an authorization with several `x` tags needs the header X-SHA-256 for a blob of this size";
            return Err(Refusal::bad_request(reason));
        }
        let bytes = read_held(body).await?;
        let hash = BlobHash::from_bytes(Sha256::digest(&bytes).into());
        if !request.is_for(&hash) {
            return Err(request.wrong_hash(&hash));
        }
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok((request.upload(hash, size, &self.config, now()), bucket::Bytes::Vec(bytes)))
    }

    async fn put(&self, upload: &Upload, bytes: bucket::Bytes) -> std::result::Result<Put, Refusal> {
        let now = now();
        let record = BlobRecord {
            hash: upload.hash,
            size: upload.size,
            media_type: upload.media_type.clone(),
            uploaded: now.as_seconds(),
            expires: self.config.time_to_live.map(|time| (now + time).as_seconds()),
        };
        self.bucket()?.put(&record, bytes).await.map_err(|error| {
            console_error!("R2 did not take a blob: {error}");
            Refusal::unavailable("the blob could not be stored; try again")
        })
    }
}

/// Whether the time of a blob is not over. R2 removes it a little later.
fn is_kept(record: &BlobRecord) -> bool {
    record.expires.is_none_or(|end| end > now().as_seconds())
}

/// Reads a body into memory.
async fn read_held(body: WorkerBody) -> std::result::Result<Vec<u8>, Refusal> {
    match body.read(MAX_HELD_BYTES).await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(BodyError::TooLong { max_bytes }) => {
            let reason =
                format!("a blob whose size or hash is not known in advance may have {max_bytes} bytes");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, reason))
        }
        Err(error) => Err(Refusal::bad_request(error.to_string())),
    }
}

async fn call_index(env: &Env, call: IndexCall) -> std::result::Result<IndexReply, Refusal> {
    let index = ObjectAddress::Blossom.stub(env);
    let index = index.map_err(|_| Refusal::unavailable(MissingBinding::Index.to_string()))?;
    match timeout(INDEX_TIMEOUT, rpc::call(&index, &call)).await {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(error)) => Err(failed(&error)),
        None => Err(Refusal::unavailable("the index of blobs did not answer in time; try again")),
    }
}

fn unexpected() -> Refusal {
    Refusal::unavailable("the index of blobs gave an unexpected answer; try again")
}

fn failed(error: &::worker::Error) -> Refusal {
    console_error!("the blob server failed: {error}");
    Refusal::unavailable("the blob server failed; its log has the reason")
}
