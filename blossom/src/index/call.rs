//! The calls of the index and its replies; between a Worker and the index's Durable Object they are JSON.

use openagents_host::{BlobHash, PublicKey};
use serde::{Deserialize, Serialize};

use super::record::{BlobRecord, IndexStatistics};
use crate::media_type::MediaType;
use crate::report::Report;

/// A call of the index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum IndexCall {
    /// Changes nothing.
    Read(IndexRead),
    /// May change something.
    Write(IndexWrite),
}

/// A question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum IndexRead {
    /// A blob by its hash. The reply is [`IndexReply::Found`].
    Find(BlobHash),
    /// Whether an upload would be accepted. The reply is [`IndexReply::Upload`].
    Judge(Upload),
    /// Somebody's blobs, latest first. The reply is [`IndexReply::Listed`].
    List(ListQuery),
    /// How much there is. The reply is [`IndexReply::Statistics`].
    Statistics,
}

/// A change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum IndexWrite {
    /// Makes somebody an owner of a blob that exists. The reply is [`IndexReply::Upload`]; if it is wanted, nothing was
    /// changed.
    Claim(Upload),
    /// Begins an upload whose bytes will be visible before it is committed, so that they are found if it never is. The
    /// reply is [`IndexReply::Upload`]; a blob that exists gets another owner.
    Reserve(Upload),
    /// The bytes of an upload are stored. The reply is [`IndexReply::Upload`]; if it is refused, the bytes are removed
    /// unless the blob is somebody else's.
    Commit(Upload),
    /// An upload that was reserved has failed. The reply is [`IndexReply::Done`].
    Abandon { hash: BlobHash, owner: PublicKey },
    /// Takes a blob from an owner, or from all owners. The reply is [`IndexReply::Deleted`].
    Delete { hash: BlobHash, owner: Option<PublicKey> },
    /// Takes all blobs from an owner that were uploaded until this second. The reply is [`IndexReply::Done`].
    RemoveOwner { owner: PublicKey, until: u64 },
    /// Takes all blobs from a key, and refuses its uploads from now on. The reply is [`IndexReply::Done`].
    Ban(PublicKey),
    /// Accepts uploads of a key again. The reply is [`IndexReply::Done`].
    Unban(PublicKey),
    /// Takes a blob from all owners and refuses it from now on. The reply is [`IndexReply::Done`].
    Block { hash: BlobHash, reason: String },
    /// Records a report. The reply is [`IndexReply::Done`].
    Report(Report),
}

/// The reply to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IndexReply {
    Found(Option<BlobRecord>),
    Upload(UploadAnswer),
    Deleted(Deletion),
    Listed(Vec<BlobRecord>),
    Statistics(IndexStatistics),
    Done,
}

/// An upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) hash: BlobHash,
    pub(crate) owner: PublicKey,
    pub(crate) size: u64,
    pub(crate) media_type: MediaType,
    /// How many bytes the owner may have; `None` for no limit.
    pub(crate) quota: Option<u64>,
    /// Set if the owner may not upload otherwise.
    pub(crate) expected: Option<ExpectedUpload>,
}

/// How an expected upload is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpectedUpload {
    /// Until when, in seconds since the Unix epoch.
    pub(crate) keep_until: u64,
    /// How many bytes all expected uploads may have together.
    pub(crate) total: u64,
}

/// What becomes of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UploadAnswer {
    /// Its bytes are needed.
    Wanted,
    /// It was stored with this commit.
    Stored(BlobRecord),
    /// The blob exists; with a call that may write, its owner owns it as well.
    Exists(BlobRecord),
    /// The operator has blocked this blob.
    Blocked {
        /// Why, if the operator says so.
        reason: String,
    },
    /// The operator has banned this key.
    Banned,
    /// The owner would have more than the quota.
    QuotaExceeded {
        /// How many bytes the owner may have.
        quota: u64,
        /// How many the owner has.
        used: u64,
    },
    /// All expected uploads together would have more than they may.
    NoRoom,
}

impl UploadAnswer {
    /// Whether the blob is its owner's now, or would be.
    pub(crate) const fn is_accepted(&self) -> bool {
        match self {
            Self::Wanted | Self::Stored(_) | Self::Exists(_) => true,
            Self::Blocked { .. } | Self::Banned | Self::QuotaExceeded { .. } | Self::NoRoom => false,
        }
    }
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deletion {
    Deleted,
    /// The blob exists, but not as this owner's.
    NotOwned,
    NotFound,
}

/// Which of somebody's blobs are listed (BUD-12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListQuery {
    pub(crate) owner: PublicKey,
    /// The last blob of the previous page.
    pub(crate) cursor: Option<BlobHash>,
    pub(crate) limit: u32,
    /// The earliest and the latest upload, in seconds since the Unix epoch.
    pub(crate) since: Option<u64>,
    pub(crate) until: Option<u64>,
}
