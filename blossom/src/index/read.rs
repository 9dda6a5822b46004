//! Questions about the index. They change nothing, so natively other threads than the engine's answer them.

use std::ops::ControlFlow;

use openagents_host::sql::{Row, Sql, SqlError, values};
use openagents_host::{BlobHash, Timestamp};

use super::call::{IndexRead, IndexReply, ListQuery, Upload, UploadAnswer};
use super::record::{BlobRecord, IndexStatistics};
use crate::media_type::MediaType;

/// The most blobs in one answer.
pub(crate) const MAX_LISTED: u32 = 1_000;

/// Answers a question.
pub(crate) fn answer<S: Sql>(sql: &S, read: &IndexRead, now: Timestamp) -> Result<IndexReply, SqlError> {
    Ok(match read {
        IndexRead::Find(hash) => IndexReply::Found(find(sql, hash, now)?),
        IndexRead::Judge(upload) => IndexReply::Upload(judge(sql, upload, now)?),
        IndexRead::List(query) => IndexReply::Listed(list(sql, query, now)?),
        IndexRead::Statistics => IndexReply::Statistics(statistics(sql)?),
    })
}

/// A blob that somebody owns, with the last of its owners' ends.
pub(super) fn find<S: Sql>(sql: &S, hash: &BlobHash, now: Timestamp) -> Result<Option<BlobRecord>, SqlError> {
    let mut found = None;
    sql.query(
        "SELECT b.size, b.media_type, b.uploaded, \
                (SELECT CASE WHEN count(*) = count(o.expires) THEN max(o.expires) END \
                   FROM blob_owner o WHERE o.hash = b.hash) \
           FROM blob b WHERE b.hash = ?",
        values![hash],
        &mut |row| {
            let expires = row.column::<Option<u64>>(3)?;
            if expires.is_none_or(|end| end > now.as_seconds()) {
                found = Some(BlobRecord {
                    hash: *hash,
                    size: row.column(0)?,
                    media_type: media_type(row, 1)?,
                    uploaded: row.column(2)?,
                    expires,
                });
            }
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(found)
}

/// Whether an upload would be accepted now.
pub(super) fn judge<S: Sql>(sql: &S, upload: &Upload, now: Timestamp) -> Result<UploadAnswer, SqlError> {
    let blocked: Option<(String,)> =
        sql.first("SELECT reason FROM blocked_blob WHERE hash = ?", values![&upload.hash])?;
    if let Some((reason,)) = blocked {
        return Ok(UploadAnswer::Blocked { reason });
    }
    let banned: Option<(i64,)> =
        sql.first("SELECT 1 FROM banned_owner WHERE pubkey = ?", values![&upload.owner])?;
    if banned.is_some() {
        return Ok(UploadAnswer::Banned);
    }
    let existing = find(sql, &upload.hash, now)?;
    if let Some(quota) = upload.quota {
        // Sizes of blobs that exist are facts; that of an upload is its announcement.
        let size = existing.as_ref().map_or(upload.size, |record| record.size);
        let used = used_bytes(sql, upload)?;
        if used.saturating_add(size) > quota && !owns(sql, upload)? {
            return Ok(UploadAnswer::QuotaExceeded { quota, used });
        }
    }
    if let Some(expected) = &upload.expected {
        let size = existing.as_ref().map_or(upload.size, |record| record.size);
        if expected_bytes(sql, upload)?.saturating_add(size) > expected.total && !owns(sql, upload)? {
            return Ok(UploadAnswer::NoRoom);
        }
    }
    Ok(existing.map_or(UploadAnswer::Wanted, UploadAnswer::Exists))
}

/// How many bytes the owner of an upload has, or has begun to upload, besides this one.
fn used_bytes<S: Sql>(sql: &S, upload: &Upload) -> Result<u64, SqlError> {
    let used: Option<(u64,)> = sql.first(
        "SELECT COALESCE((SELECT bytes FROM owner WHERE pubkey = ?1), 0) \
              + COALESCE((SELECT sum(size) FROM reservation WHERE owner = ?1 AND hash <> ?2), 0)",
        values![&upload.owner, &upload.hash],
    )?;
    Ok(used.map_or(0, |(bytes,)| bytes))
}

/// How many bytes all expected uploads have, or have begun to upload, besides this one.
fn expected_bytes<S: Sql>(sql: &S, upload: &Upload) -> Result<u64, SqlError> {
    let used: Option<(u64,)> = sql.first(
        "SELECT bytes + COALESCE((SELECT sum(size) FROM reservation \
                                   WHERE keep_until IS NOT NULL AND NOT (hash = ? AND owner = ?)), 0) \
           FROM expected_total",
        values![&upload.hash, &upload.owner],
    )?;
    Ok(used.map_or(0, |(bytes,)| bytes))
}

/// Whether the blob is its owner's already.
pub(super) fn owns<S: Sql>(sql: &S, upload: &Upload) -> Result<bool, SqlError> {
    let found: Option<(i64,)> = sql.first(
        "SELECT 1 FROM blob_owner WHERE hash = ? AND owner = ?",
        values![&upload.hash, &upload.owner],
    )?;
    Ok(found.is_some())
}

/// Somebody's blobs, latest first, and by hash within a second, so that every page continues where the last one ended.
fn list<S: Sql>(sql: &S, query: &ListQuery, now: Timestamp) -> Result<Vec<BlobRecord>, SqlError> {
    let cursor: Option<(u64,)> = match &query.cursor {
        Some(cursor) => sql.first(
            "SELECT uploaded FROM blob_owner WHERE hash = ? AND owner = ?",
            values![cursor, &query.owner],
        )?,
        None => None,
    };
    // A cursor whose blob was deleted since leads to the first page: who deletes page by page finds what is left there.
    let (before, after_hash) = match (cursor, &query.cursor) {
        (Some((uploaded,)), Some(hash)) => (uploaded, hash.as_bytes().as_slice()),
        _ => (i64::MAX.unsigned_abs(), [].as_slice()),
    };
    let before = before.min(openagents_host::sql::MAX_INTEGER.unsigned_abs());
    let until = query.until.unwrap_or(before).min(before);
    let mut records = Vec::new();
    sql.query(
        "SELECT o.hash, b.size, b.media_type, o.uploaded, o.expires \
           FROM blob_owner o JOIN blob b ON b.hash = o.hash \
          WHERE o.owner = ? AND o.uploaded <= ? AND o.uploaded >= ? \
            AND (o.uploaded < ? OR o.hash > ?) AND (o.expires IS NULL OR o.expires > ?) \
          ORDER BY o.uploaded DESC, o.hash LIMIT ?",
        values![
            &query.owner,
            until,
            query.since.unwrap_or(0).min(openagents_host::sql::MAX_INTEGER.unsigned_abs()),
            before,
            after_hash,
            now.as_seconds(),
            query.limit.min(MAX_LISTED)
        ],
        &mut |row| {
            records.push(BlobRecord {
                hash: row.column(0)?,
                size: row.column(1)?,
                media_type: media_type(row, 2)?,
                uploaded: row.column(3)?,
                expires: row.column(4)?,
            });
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(records)
}

fn statistics<S: Sql>(sql: &S) -> Result<IndexStatistics, SqlError> {
    let counted: Option<(u64, u64, u64, u64, u64, u64)> = sql.first(
        "SELECT (SELECT count(*) FROM blob), (SELECT COALESCE(sum(size), 0) FROM blob), (SELECT count(*) FROM owner), \
                (SELECT count(*) FROM reservation), (SELECT count(*) FROM removal), \
                (SELECT count(*) FROM blob_report)",
        &[],
    )?;
    let (blobs, bytes, owners, reservations, removals, reports) = counted.unwrap_or_default();
    Ok(IndexStatistics { blobs, bytes, owners, reservations, removals, reports })
}

/// A stored media type. One that this release does not accept is unknown.
pub(super) fn media_type(row: &Row<'_>, index: usize) -> Result<MediaType, SqlError> {
    let text: &str = row.column(index)?;
    Ok(text.parse().unwrap_or_else(|_| MediaType::unknown()))
}
