//! `Blob`: the bytes of the file that a `url` input names.

use std::time::Duration;

use openagents_blossom::{MediaType, named_hash};
use openagents_host::BlobHash;
use openagents_host::http::Bytes;
use sha2::{Digest as _, Sha256};

use super::FromInput;
use super::fetch_error::{explain, failed_status};
use crate::author::job::JobContext;
use crate::declaration::InputDeclaration;
use crate::error::JobError;
use crate::input_blobs::{MAX_BLOB_BYTES, urls};
use crate::nip90::{InputKind, JobInput};

/// The most files that one request may name.
const MAX_BLOBS: usize = 8;

/// How long another server may take to send a file.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// A file that a `url` input names: its bytes and its type.
///
/// The input is the URL of a file on this agent's blob server, where its customer may upload it within 60 seconds of the
/// request (`ask --file` does that), the URL of a file on any other public server (`https`), or a `blossom:` URI that names a
/// server (BUD-10). If it names a SHA-256, the bytes have it. All files of one job together may have 25 MiB, and there may be
/// eight of them; a file that cannot be had is an error that tells the customer why.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// async fn describe(file: Blob) -> JobResult<String> {
///     if !file.is_type("image/*") {
///         return Err(JobError::failed(format!("this job takes images, not {}", file.media_type())));
///     }
///     Ok(format!("an image of {} bytes", file.bytes().len()))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    bytes: Bytes,
    hash: BlobHash,
    media_type: MediaType,
    url: String,
}

impl Blob {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The SHA-256 of the bytes.
    #[must_use]
    pub fn hash(&self) -> &BlobHash {
        &self.hash
    }

    /// What the server says that it is, in lower case and without parameters, such as `image/png`: the customer may have
    /// claimed anything. `application/octet-stream` if nobody says.
    #[must_use]
    pub fn media_type(&self) -> String {
        self.media_type.essence()
    }

    /// Whether the server says that it is of this type, such as `application/pdf` or `image/*`.
    #[must_use]
    pub fn is_type(&self, expected: &str) -> bool {
        let found = self.media_type.essence();
        match expected.strip_suffix('*') {
            Some(beginning) => found.starts_with(beginning),
            None => found == expected,
        }
    }

    /// The URL as the customer wrote it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl FromInput for Blob {
    const INPUT: InputDeclaration =
        InputDeclaration { input_type: "url", mime_types: &["*/*"], required: true, is_uploadable: true };

    const KINDS: &'static [InputKind] = &[InputKind::Url];

    async fn from_inputs(context: &JobContext, inputs: &[&JobInput]) -> Result<Vec<Self>, JobError> {
        if inputs.len() > MAX_BLOBS {
            let text = format!("this job takes at most {MAX_BLOBS} files, not {}", inputs.len());
            return Err(JobError::failed(text));
        }
        let (mut blobs, mut bytes_left) = (Vec::new(), MAX_BLOB_BYTES);
        for input in inputs {
            let blob = read(context, &input.data, bytes_left).await?;
            bytes_left = bytes_left.saturating_sub(blob.bytes.len());
            blobs.push(blob);
        }
        Ok(blobs)
    }
}

/// The file at a URL, of at most `max_bytes`.
async fn read(context: &JobContext, url: &str, max_bytes: usize) -> Result<Blob, JobError> {
    let named = named_hash(url);
    if let Some(hash) = &named
        && let Some(blob) = read_own(context, hash, url, max_bytes).await?
    {
        return Ok(blob);
    }
    let mut failure = JobError::failed(
        "the input names no server that has it: give an https URL, or a blossom: URI with a server (`xs`)",
    );
    for from in urls(url) {
        match fetch(context, &from, max_bytes).await {
            Ok((bytes, media_type)) => {
                let hash = BlobHash::from_bytes(Sha256::digest(&bytes).into());
                if named.is_none_or(|named| named == hash) {
                    return Ok(Blob { bytes, hash, media_type, url: url.to_owned() });
                }
                failure =
                    JobError::failed("the file at the input URL has another SHA-256 than the URL names");
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// A blob on the agent's own blob server; `None` if it is not there.
pub(super) async fn read_own(
    context: &JobContext,
    hash: &BlobHash,
    url: &str,
    max_bytes: usize,
) -> Result<Option<Blob>, JobError> {
    let failed = |error| JobError::retry("the agent could not read its blobs").caused_by(error);
    let Some(record) = context.host().find_blob(hash).await.map_err(failed)? else { return Ok(None) };
    if usize::try_from(record.size).map_or(true, |size| size > max_bytes) {
        return Err(too_large(max_bytes));
    }
    let bytes = context.host().read_blob(hash, max_bytes).await.map_err(failed)?;
    let blob =
        bytes.map(|bytes| Blob { bytes, hash: *hash, media_type: record.media_type, url: url.to_owned() });
    Ok(blob)
}

async fn fetch(context: &JobContext, url: &str, max_bytes: usize) -> Result<(Bytes, MediaType), JobError> {
    let request = context.http().get(url).max_bytes(max_bytes).timeout(FETCH_TIMEOUT).public_only();
    let response = request.send().await.map_err(explain)?;
    if !response.is_success() {
        return Err(failed_status(response.status()));
    }
    let media_type = response.header("content-type").and_then(|text| text.parse().ok());
    let bytes = response.bytes().await.map_err(explain)?;
    let media_type = media_type.or_else(|| type_of_extension(url)).unwrap_or_else(MediaType::unknown);
    Ok((bytes, media_type))
}

fn type_of_extension(url: &str) -> Option<MediaType> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    MediaType::of_extension(extension)
}

fn too_large(max_bytes: usize) -> JobError {
    JobError::failed(format!("the input is too large: this job takes {max_bytes} bytes in files"))
}
