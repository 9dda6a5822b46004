//! What is due in the index: owners whose time is over, uploads that were never committed, bytes that are still there.

use std::ops::ControlFlow;
use std::time::Duration;

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{BlobHash, PublicKey, Timestamp};

use super::call::{ExpectedUpload, Upload, UploadAnswer};
use super::read::media_type;
use super::write::{self, REMOVAL_RETRY};

/// The most rows of each kind that one alarm handles; the next alarm follows at once.
const MAX_AT_ONCE: u32 = 100;

/// After how long the host is asked again whether the bytes of an upload arrived.
const CHECK_RETRY: Duration = Duration::from_secs(60);

/// When something is due next.
pub(super) fn next<S: Sql>(sql: &S) -> Result<Option<Timestamp>, SqlError> {
    let due: Option<(Option<Timestamp>, Option<Timestamp>, Option<u64>)> = sql.first(
        "SELECT (SELECT min(due) FROM reservation), (SELECT min(due) FROM removal), \
                (SELECT min(expires) FROM blob_owner WHERE expires IS NOT NULL)",
        &[],
    )?;
    let (reservation, removal, end) = due.unwrap_or_default();
    Ok([reservation, removal, end.map(Timestamp::from_seconds)].into_iter().flatten().min())
}

/// Takes blobs from owners whose time is over.
pub(super) fn expire<S: Sql>(sql: &S, now: Timestamp, removed: &mut Vec<BlobHash>) -> Result<(), SqlError> {
    let over: Vec<(BlobHash, PublicKey)> = sql.rows(
        "SELECT hash, owner FROM blob_owner WHERE expires IS NOT NULL AND expires <= ? ORDER BY expires LIMIT ?",
        values![now.as_seconds(), MAX_AT_ONCE],
    )?;
    for (hash, owner) in &over {
        write::take_from(sql, hash, owner, now, removed)?;
    }
    Ok(())
}

/// The blobs whose bytes are to be removed, again if that was not confirmed.
pub(super) fn removals<S: Sql>(sql: &S, now: Timestamp, removed: &mut Vec<BlobHash>) -> Result<(), SqlError> {
    let due: Vec<(BlobHash,)> =
        sql.rows("SELECT hash FROM removal WHERE due <= ? ORDER BY due LIMIT ?", values![now, MAX_AT_ONCE])?;
    for (hash,) in due {
        sql.execute("UPDATE removal SET due = ? WHERE hash = ?", values![now + REMOVAL_RETRY, &hash])?;
        removed.push(hash);
    }
    Ok(())
}

/// The uploads of which it must be found out whether their bytes arrived.
pub(super) fn unfinished<S: Sql>(sql: &S, now: Timestamp) -> Result<Vec<BlobHash>, SqlError> {
    let due: Vec<(BlobHash, PublicKey)> = sql.rows(
        "SELECT hash, owner FROM reservation WHERE due <= ? ORDER BY due LIMIT ?",
        values![now, MAX_AT_ONCE],
    )?;
    let mut hashes = Vec::new();
    for (hash, owner) in due {
        sql.execute(
            "UPDATE reservation SET due = ? WHERE hash = ? AND owner = ?",
            values![now + CHECK_RETRY, &hash, &owner],
        )?;
        hashes.push(hash);
    }
    hashes.dedup();
    Ok(hashes)
}

/// Ends the uploads of a blob that were due: if its bytes are there, they were complete, and belong to whoever sent them.
pub(super) fn finish<S: Sql>(
    sql: &S,
    time_to_live: Option<Duration>,
    hash: &BlobHash,
    is_stored: bool,
    now: Timestamp,
    removed: &mut Vec<BlobHash>,
) -> Result<(), SqlError> {
    let mut uploads = Vec::new();
    // Reservations of others that are not due yet go on.
    sql.query(
        "SELECT owner, size, media_type, keep_until FROM reservation WHERE hash = ? AND due <= ?",
        values![hash, now + CHECK_RETRY],
        &mut |row| {
            uploads.push(Upload {
                hash: *hash,
                owner: row.column(0)?,
                size: row.column(1)?,
                media_type: media_type(row, 2)?,
                // It was within the limits when it began.
                quota: None,
                expected: row
                    .column::<Option<u64>>(3)?
                    .map(|keep_until| ExpectedUpload { keep_until, total: u64::MAX }),
            });
            Ok(ControlFlow::Continue(()))
        },
    )?;
    for upload in uploads {
        let is_kept = is_stored
            && matches!(
                write::commit(sql, time_to_live, &upload, now)?,
                UploadAnswer::Stored(_) | UploadAnswer::Exists(_)
            );
        if !is_kept {
            write::abandon(sql, hash, &upload.owner, now, removed)?;
        }
    }
    Ok(())
}
