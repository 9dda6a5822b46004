//! The files of `ask --file`: their text is an input, or they are uploaded to a blob server and their URLs are.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openagents_blossom::{BlobClient, BlobClientError, BlobDescriptor, MediaType};
use openagents_host::BlobHash;
use openagents_host::http::Bytes;
use openagents_host::native::now;
use sha2::{Digest as _, Sha256};

use super::arguments::Ask;

/// The largest file that is read, in bytes. Servers accept less, and say how much.
const MAX_FILE_BYTES: u64 = 100 * 1024 * 1024;

/// The longest text that is sent, in bytes. Relays accept less, and say how much.
pub(super) const MAX_TEXT_BYTES: u64 = 2_000_000;

/// How long the agent may take to hear of the request, before which its server takes no file for it.
const ADMISSION_TIME: Duration = Duration::from_secs(15);

/// How long to wait before a refused upload is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A file cannot be an input.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "{} would be uploaded, where anybody can read it, but --encrypt is for this agent alone: leave out --encrypt, or \
         ask an agent that takes the text of a file",
        path.display()
    )]
    Encrypted { path: PathBuf },
    #[error(
        "{} is not text, and the agent takes no files for jobs of kind {kind}. --blossom URL uploads it to a blob server \
         all the same",
        path.display()
    )]
    NotText { path: PathBuf, kind: u16 },
    #[error(transparent)]
    Client(#[from] BlobClientError),
    #[error("{} could not be uploaded: {error}", path.display())]
    Upload { path: PathBuf, error: BlobClientError },
}

/// A file as it is sent.
pub(super) enum InputFile {
    /// Its text, without the line break at its end.
    Text(String),
    /// A blob.
    Upload(UploadedFile),
}

/// A file that is uploaded once the agent knows the request that names it.
pub(super) struct UploadedFile {
    path: PathBuf,
    bytes: Bytes,
    media_type: MediaType,
    /// Where it will be.
    pub(super) url: String,
}

/// Reads the files. `takes_files` says whether the agent's jobs of this kind take them as files, if that is known: otherwise
/// what is text is sent as text.
pub(super) fn read(
    ask: &Ask,
    kind: u16,
    takes_files: Option<bool>,
    client: &BlobClient,
) -> Result<Vec<InputFile>, FileError> {
    let is_uploaded = ask.blossom.is_some() || takes_files == Some(true);
    let files = ask.file.iter().map(|path| {
        let bytes = bytes_of(path).map_err(|error| FileError::Read { path: path.clone(), error })?;
        if !is_uploaded && let Some(text) = text_of(&bytes) {
            return Ok(InputFile::Text(text));
        }
        if takes_files == Some(false) && ask.blossom.is_none() {
            return Err(FileError::NotText { path: path.clone(), kind });
        }
        if ask.encrypt.is_some() {
            return Err(FileError::Encrypted { path: path.clone() });
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        let media_type = extension.and_then(MediaType::of_extension).unwrap_or_else(MediaType::unknown);
        let hash = BlobHash::from_bytes(Sha256::digest(&bytes).into());
        let url = client.url_of(&hash, &media_type);
        Ok(InputFile::Upload(UploadedFile { path: path.clone(), bytes, media_type, url }))
    });
    files.collect()
}

impl UploadedFile {
    /// Uploads it. The agent may hear of the request a little later than the relay.
    pub(super) async fn upload(&self, client: &BlobClient) -> Result<BlobDescriptor, FileError> {
        let began = Instant::now();
        loop {
            let error = match client.upload(self.bytes.clone(), self.media_type.clone(), now()).await {
                Ok(descriptor) => return Ok(descriptor),
                Err(error) => error,
            };
            let is_early = matches!(error, BlobClientError::Refused { status: 403, .. });
            if !is_early || began.elapsed() > ADMISSION_TIME {
                return Err(FileError::Upload { path: self.path.clone(), error });
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}

fn bytes_of(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes.into())
}

/// The text in a file, without the line break at its end; `None` if it is not text, or more than a relay would take.
fn text_of(bytes: &Bytes) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_text = !text.contains('\0') && bytes.len() as u64 <= MAX_TEXT_BYTES;
    is_text.then(|| text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Bytes, text_of};

    #[test]
    fn tells_text_from_other_files() {
        assert_eq!(text_of(&Bytes::from_static(b"a\n b\r\n\n")).as_deref(), Some("a\n b"));
        assert_eq!(text_of(&Bytes::new()).as_deref(), Some(""));
        for other in [&b"\x89PNG\r\n"[..], b"a\0b"] {
            assert_eq!(text_of(&Bytes::copy_from_slice(other)), None, "{other:?}");
        }
        assert_eq!(text_of(&Bytes::from(vec![b'a'; 2_000_001])), None);
    }
}
