//! Blobs of the deployment itself: stored, read and deleted by its agent, without a request.

use openagents_host::http::Bytes;
use openagents_host::{BlobHash, PublicKey};
use sha2::{Digest as _, Sha256};

use super::accepted;
use super::host::BlobHost;
use crate::authorization::Authorization;
use crate::descriptor::BlobDescriptor;
use crate::index::{BlobRecord, Deletion, IndexReply, IndexWrite, UploadAnswer};
use crate::media_type::MediaType;
use crate::refusal::Refusal;
use crate::upload::{HashSource, UploadRequest, check_size};

/// Why an agent's own blob could not be stored, read or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BlobError {
    reason: String,
    /// Whether the same may succeed later.
    pub is_temporary: bool,
}

impl BlobError {
    /// There is no blob server.
    #[must_use]
    pub fn no_server() -> Self {
        Self { reason: "this agent has no blob server".to_owned(), is_temporary: false }
    }
}

impl From<Refusal> for BlobError {
    fn from(refusal: Refusal) -> Self {
        Self { reason: refusal.to_string(), is_temporary: refusal.status.is_server_error() }
    }
}

/// Stores a blob under this key. Without a public URL, its descriptor's URL is a `blossom:` URI (BUD-10).
pub(crate) async fn store<H: BlobHost>(
    host: &H,
    owner: PublicKey,
    bytes: Bytes,
    media_type: MediaType,
) -> Result<BlobDescriptor, BlobError> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    check_size(size, host.config())?;
    let hash = BlobHash::from_bytes(Sha256::digest(&bytes).into());
    let request = UploadRequest {
        authorization: Authorization::of_own(owner, hash),
        hash: Some(hash),
        source: HashSource::Authorization,
        size: Some(size),
        media_type,
        expected: None,
    };
    match accepted(host.store(&request, host.upload_of(bytes)).await?)? {
        UploadAnswer::Stored(record) | UploadAnswer::Exists(record) => {
            let base = host.config().public_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
            Ok(BlobDescriptor::new(base, &record))
        }
        _ => Err(Refusal::unavailable("the blob was removed while it was stored").into()),
    }
}

/// A blob without its bytes; `None` if it is not here.
pub(crate) async fn find<H: BlobHost>(host: &H, hash: &BlobHash) -> Result<Option<BlobRecord>, BlobError> {
    Ok(host.find(hash).await?)
}

/// The bytes of a blob; `None` if it is not here.
pub(crate) async fn read<H: BlobHost>(
    host: &H,
    hash: &BlobHash,
    max_bytes: usize,
) -> Result<Option<Bytes>, BlobError> {
    let Some((record, content)) = host.open(hash, None).await? else { return Ok(None) };
    if usize::try_from(record.size).map_or(true, |size| size > max_bytes) {
        let reason = format!("the blob has {} bytes, and {max_bytes} may be read at once", record.size);
        return Err(BlobError { reason, is_temporary: false });
    }
    Ok(Some(host.content_bytes(content, max_bytes).await?))
}

/// Takes a blob from this key. Returns whether it was its owner.
pub(crate) async fn delete<H: BlobHost>(
    host: &H,
    hash: &BlobHash,
    owner: PublicKey,
) -> Result<bool, BlobError> {
    let deleted = host.write_index(IndexWrite::Delete { hash: *hash, owner: Some(owner) }).await?;
    Ok(deleted == IndexReply::Deleted(Deletion::Deleted))
}

/// What an operator decides about a key (NIP-86).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerBan {
    /// It may not upload, and owns nothing any more.
    Ban(PublicKey),
    /// It may upload again. What it had owned does not come back.
    Unban(PublicKey),
}

/// Carries out an operator's decision about a key. Doing it twice changes nothing.
pub(crate) async fn apply_ban<H: BlobHost>(host: &H, ban: OwnerBan) -> Result<(), BlobError> {
    host.write_index(match ban {
        OwnerBan::Ban(owner) => IndexWrite::Ban(owner),
        OwnerBan::Unban(owner) => IndexWrite::Unban(owner),
    })
    .await?;
    Ok(())
}

/// Takes all blobs from a key that has vanished (NIP-62), as far as they were uploaded until this second.
pub(crate) async fn remove_owner<H: BlobHost>(
    host: &H,
    owner: PublicKey,
    until: u64,
) -> Result<(), BlobError> {
    host.write_index(IndexWrite::RemoveOwner { owner, until }).await?;
    Ok(())
}
