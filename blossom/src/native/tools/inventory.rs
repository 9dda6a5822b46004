//! All blobs with their owners, in the order of their hashes: for exports, and for comparing the index with what is stored.

use std::ops::ControlFlow;

use openagents_host::sql::{Row, Sql, SqlError, values};
use openagents_host::{BlobHash, PublicKey};
use serde::{Deserialize, Serialize};

use crate::media_type::MediaType;

/// A stored blob, and who owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedBlob {
    /// The SHA-256 of its bytes.
    #[serde(rename = "sha256")]
    pub hash: BlobHash,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    #[serde(rename = "type")]
    pub media_type: MediaType,
    /// When it was uploaded, in seconds since the Unix epoch.
    pub uploaded: u64,
    /// Its owners, the first one first.
    pub owners: Vec<BlobOwner>,
}

/// An owner of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobOwner {
    /// The owner's key.
    pub pubkey: PublicKey,
    /// When the owner uploaded the blob, in seconds since the Unix epoch.
    pub uploaded: u64,
    /// When the ownership ends, in seconds since the Unix epoch; `None` if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// How many blobs a page has.
const PAGE: u32 = 500;

/// Blobs after `after` and up to `last`, if it is given; of this owner, if one is given. An empty page is the end.
pub(super) fn page<S: Sql>(
    sql: &S,
    after: Option<&BlobHash>,
    last: Option<&BlobHash>,
    owner: Option<&PublicKey>,
) -> Result<Vec<OwnedBlob>, SqlError> {
    let after = after.map_or(&[][..], |hash| hash.as_bytes());
    // Longer than every hash, and so after the last one.
    let last = last.map_or(&[0xff; 33][..], |hash| hash.as_bytes());
    let mut blobs = Vec::new();
    let mut each = |row: &Row<'_>| {
        blobs.push(OwnedBlob {
            hash: row.column(0)?,
            size: row.column(1)?,
            media_type: row.column::<&str>(2)?.parse().unwrap_or_else(|_| MediaType::unknown()),
            uploaded: row.column(3)?,
            owners: Vec::new(),
        });
        Ok(ControlFlow::Continue(()))
    };
    match owner {
        Some(owner) => sql.query(
            "SELECT b.hash, b.size, b.media_type, b.uploaded FROM blob b \
               JOIN blob_owner o ON o.hash = b.hash AND o.owner = ? \
              WHERE b.hash > ? AND b.hash <= ? ORDER BY b.hash LIMIT ?",
            values![owner, after, last, PAGE],
            &mut each,
        )?,
        None => sql.query(
            "SELECT hash, size, media_type, uploaded FROM blob \
              WHERE hash > ? AND hash <= ? ORDER BY hash LIMIT ?",
            values![after, last, PAGE],
            &mut each,
        )?,
    }
    for blob in &mut blobs {
        let owners: Vec<(PublicKey, u64, Option<u64>)> = sql.rows(
            "SELECT owner, uploaded, expires FROM blob_owner WHERE hash = ? ORDER BY uploaded, owner",
            values![&blob.hash],
        )?;
        let owner = |(pubkey, uploaded, expires)| BlobOwner { pubkey, uploaded, expires };
        blob.owners = owners.into_iter().map(owner).collect();
    }
    Ok(blobs)
}

/// Whether bytes without an entry are of an upload that has begun, or about to be removed.
pub(super) fn is_expected<S: Sql>(sql: &S, hash: &BlobHash) -> Result<bool, SqlError> {
    let found: Option<(i64,)> = sql.first(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM reservation WHERE hash = ?1) \
                     OR EXISTS (SELECT 1 FROM removal WHERE hash = ?1)",
        values![hash],
    )?;
    Ok(found.is_some())
}

/// Enters a blob whose bytes are stored, and its owners, as far as they are not there yet. Bans, blocks and quotas are
/// not asked.
pub(super) fn adopt<S: Sql>(sql: &S, blob: &OwnedBlob) -> Result<(), SqlError> {
    sql.transaction(|| {
        sql.execute(
            "INSERT INTO blob (hash, size, media_type, uploaded) VALUES (?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING",
            values![&blob.hash, blob.size, blob.media_type.as_str(), blob.uploaded],
        )?;
        sql.execute("DELETE FROM removal WHERE hash = ?", values![&blob.hash])?;
        for owner in &blob.owners {
            let added: Option<(i64,)> = sql.first(
                "INSERT INTO blob_owner (hash, owner, uploaded, expires) VALUES (?, ?, ?, ?) \
                 ON CONFLICT (hash, owner) DO NOTHING RETURNING 1",
                values![&blob.hash, &owner.pubkey, owner.uploaded, owner.expires],
            )?;
            if added.is_some() {
                sql.execute(
                    "INSERT INTO owner (pubkey, blobs, bytes) VALUES (?1, 1, (SELECT size FROM blob WHERE hash = ?2)) \
                     ON CONFLICT (pubkey) DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes",
                    values![&owner.pubkey, &blob.hash],
                )?;
            }
        }
        Ok(())
    })
}

/// Deletes the entry of a blob whose bytes are lost. [`recount`] must follow.
pub(super) fn forget<S: Sql>(sql: &S, hash: &BlobHash) -> Result<(), SqlError> {
    sql.transaction(|| {
        sql.execute("DELETE FROM blob_owner WHERE hash = ?", values![hash])?;
        sql.execute("DELETE FROM expected_blob WHERE hash = ?", values![hash])?;
        sql.execute("DELETE FROM blob WHERE hash = ?", values![hash])
    })
}

/// The owners whose totals are not those of their blobs.
pub(super) fn disagreeing_owners<S: Sql>(sql: &S) -> Result<Vec<PublicKey>, SqlError> {
    let found: Vec<(PublicKey,)> = sql.rows(
        "WITH counted (pubkey, blobs, bytes) AS ( \
            SELECT o.owner, count(*), sum(b.size) FROM blob_owner o JOIN blob b ON b.hash = o.hash GROUP BY o.owner) \
         SELECT pubkey FROM (SELECT * FROM counted EXCEPT SELECT pubkey, blobs, bytes FROM owner) \
         UNION SELECT pubkey FROM owner WHERE pubkey NOT IN (SELECT pubkey FROM counted)",
        &[],
    )?;
    Ok(found.into_iter().map(|(pubkey,)| pubkey).collect())
}

/// Computes the totals of all owners anew.
pub(super) fn recount<S: Sql>(sql: &S) -> Result<(), SqlError> {
    sql.transaction(|| {
        sql.execute("DELETE FROM owner", &[])?;
        sql.execute(
            "INSERT INTO owner (pubkey, blobs, bytes) \
             SELECT o.owner, count(*), sum(b.size) FROM blob_owner o JOIN blob b ON b.hash = o.hash GROUP BY o.owner",
            &[],
        )?;
        sql.execute(
            "UPDATE expected_total SET bytes = (SELECT coalesce(sum(size), 0) FROM expected_blob)",
            &[],
        )
    })
}
