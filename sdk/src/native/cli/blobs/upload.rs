//! Uploads of files to a blob server (`PUT /upload`), signed with the agent's key.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use openagents_blossom::native::tools::EXPORTED_INDEX;
use openagents_blossom::{BlobDescriptor, MediaType};
use openagents_host::http::{ByteStream, Bytes, Method, body::BodyError};
use openagents_host::native::now;
use openagents_host::net::{HttpError, HttpLimits, HttpRequest, Reach, send};
use openagents_host::nostr::UnsignedEvent;
use openagents_host::nostr::http_auth::header;
use openagents_host::{BlobHash, Keys, Kind};
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

/// How many bytes of a file are read at once.
const READ_AT_ONCE: u64 = 256 * 1024;

/// How long an upload may take, and its authorization is valid.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// The longest answer of a server, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why a file was not uploaded.
#[derive(Debug, thiserror::Error)]
pub(in crate::native) enum UploadError {
    #[error("cannot read {}: {error}", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("cannot reach the blob server at {url}: {error}")]
    Send { url: String, error: Box<HttpError> },
    #[error("{} was refused with status {status}: {reason}", path.display())]
    Refused { path: PathBuf, status: u16, reason: String },
    #[error("{url} answered with something that is no blob descriptor: {error}")]
    Answer { url: String, error: serde_json::Error },
}

/// The files of a folder that `blobs export` has written.
pub(super) fn exported_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.is_file() && path.file_name().is_none_or(|name| name != EXPORTED_INDEX));
    paths.sort();
    Ok(paths)
}

/// Uploads a file. The server says whether it has the blob already.
pub(super) async fn upload(base: &str, keys: &Keys, path: &Path) -> Result<BlobDescriptor, UploadError> {
    let failed = |error| UploadError::File { path: path.to_owned(), error };
    let opened = path.to_owned();
    let read = spawn_blocking(move || measured(&opened)).await.map_err(io::Error::other);
    let (file, hash, size) = read.and_then(|read| read).map_err(failed)?;
    let url = upload_url(base);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let media_type = MediaType::of_extension(extension).unwrap_or_else(MediaType::unknown);
    let limits = HttpLimits {
        reach: Reach::Anywhere,
        max_bytes: MAX_ANSWER_BYTES,
        timeout: TIMEOUT,
        max_redirects: 0,
    };
    let request = HttpRequest::new(Method::PUT, url.as_str())
        .header("authorization", authorization(keys, &hash))
        .header("content-type", media_type.as_str())
        .header("x-sha-256", hash.to_hex())
        .limits(limits);
    let sent = async {
        let response = send(HttpRequest { body: stream(file, size).into(), ..request }).await?;
        Ok((response.status(), response.text().await?))
    };
    let sent: Result<_, HttpError> = sent.await;
    let (status, text) =
        sent.map_err(|error| UploadError::Send { url: url.clone(), error: Box::new(error) })?;
    if !(200..=299).contains(&status) {
        let reason = text.trim_end().to_owned();
        return Err(UploadError::Refused { path: path.to_owned(), status, reason });
    }
    serde_json::from_str(&text).map_err(|error| UploadError::Answer { url, error })
}

/// The endpoint of the server at a URL; the relay's URL is accepted too.
fn upload_url(base: &str) -> String {
    let base = base.trim_end_matches('/');
    match base.strip_prefix("ws") {
        Some(rest) => format!("http{rest}/upload"),
        None => format!("{base}/upload"),
    }
}

/// Opens a file, and determines its hash and its size.
fn measured(path: &Path) -> io::Result<(File, BlobHash, u64)> {
    let mut file = File::open(path)?;
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    loop {
        let chunk = read_chunk(&mut file)?;
        if chunk.is_empty() {
            break;
        }
        hash.update(&chunk);
        size = size.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
    }
    file.rewind()?;
    Ok((file, BlobHash::from_bytes(hash.finalize().into()), size))
}

/// The next bytes of a file; none at its end.
fn read_chunk(file: &mut File) -> io::Result<Bytes> {
    let mut chunk = Vec::new();
    file.take(READ_AT_ONCE).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}

/// The header that authorizes an upload (BUD-11).
fn authorization(keys: &Keys, hash: &BlobHash) -> String {
    let now = now();
    let end = (now + TIMEOUT).as_seconds().to_string();
    let token = UnsignedEvent::new(Kind::BLOSSOM_AUTHORIZATION, "Upload a file")
        .tag(["t", "upload"])
        .tag(["expiration", &end])
        .tag(["x", &hash.to_hex()]);
    header(&token.sign(keys, now))
}

/// A file as the body of a request.
fn stream(file: File, size: u64) -> ByteStream {
    let chunks = futures_util::stream::try_unfold(file, async |mut file| {
        let read = spawn_blocking(move || {
            let chunk = read_chunk(&mut file)?;
            Ok::<_, io::Error>((chunk, file))
        });
        let interrupted = |error: &dyn std::fmt::Display| BodyError::Interrupted(error.to_string());
        let read = read.await.map_err(|error| interrupted(&error))?;
        let (chunk, file) = read.map_err(|error| interrupted(&error))?;
        Ok((!chunk.is_empty()).then_some((chunk, file)))
    });
    ByteStream::new(Box::pin(chunks)).with_length(size)
}
