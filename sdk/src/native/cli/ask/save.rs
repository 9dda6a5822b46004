//! `ask --output`: saves the result in a file. If it is a blob, its bytes are downloaded, and have the announced SHA-256.

use std::io;
use std::path::{Path, PathBuf};

use openagents_blossom::{BlobClient, BlobClientError, BlobUri, named_hash};
use openagents_host::BlobHash;
use openagents_host::http::Bytes;

use crate::nip90::JobResultEvent;

/// The largest blob that is downloaded, in bytes.
const MAX_BLOB_BYTES: usize = 512 * 1024 * 1024;

/// A result was not saved.
#[derive(Debug, thiserror::Error)]
pub(super) enum SaveError {
    #[error("the file that is the result could not be downloaded: {0}")]
    Download(#[from] BlobClientError),
    #[error("the result cannot be written to {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
}

/// Saves a result, and returns how many bytes it has. `server` is the one that is asked for a blob whose URL names none.
pub(super) async fn save(
    result: &JobResultEvent,
    path: &Path,
    server: &BlobClient,
) -> Result<usize, SaveError> {
    let bytes = match blob_of(result) {
        Some(hash) => download(&result.content, &hash, server).await?,
        None => Bytes::copy_from_slice(result.content.as_bytes()),
    };
    let written = std::fs::write(path, &bytes);
    written.map_err(|error| SaveError::Write { path: path.to_owned(), error })?;
    Ok(bytes.len())
}

/// The blob that a result is: its content is a URL, and an `x` tag has its hash, unless the URL does.
fn blob_of(result: &JobResultEvent) -> Option<BlobHash> {
    let content = result.content.trim();
    let is_url = ["https://", "http://", "blossom:"].iter().any(|scheme| content.starts_with(scheme));
    let is_one = is_url && !content.contains(char::is_whitespace);
    let announced = result.tags.iter().find(|tag| tag.first().is_some_and(|name| name == "x"));
    let announced = announced.and_then(|tag| BlobHash::from_hex(tag.get(1)?).ok());
    announced.or_else(|| named_hash(content)).filter(|_| is_one)
}

async fn download(url: &str, hash: &BlobHash, server: &BlobClient) -> Result<Bytes, BlobClientError> {
    let servers: Vec<String> = match url.parse::<BlobUri>() {
        Ok(uri) => uri.urls().into_iter().map(String::from).collect(),
        Err(_) => vec![url.to_owned()],
    };
    let mut failure = None;
    for url in servers {
        match server.at(&url)?.download(hash, MAX_BLOB_BYTES).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => server.download(hash, MAX_BLOB_BYTES).await,
    }
}
