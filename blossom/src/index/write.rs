//! Changes of the index: uploads, deletions, reports.

use std::time::Duration;

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{BlobHash, PublicKey, Timestamp};

use super::call::{Deletion, IndexReply, IndexWrite, Upload, UploadAnswer};
use super::read::{find, judge, owns};
use super::record::BlobRecord;
use crate::report::Report;

/// How long an upload may take, from its reservation to its commit.
pub(super) const RESERVATION_TIME: Duration = Duration::from_secs(3_600);

/// After how long the removal of bytes is tried again.
pub(super) const REMOVAL_RETRY: Duration = Duration::from_secs(60);

/// The most reports that are kept; the oldest go first.
const MAX_REPORTS: u32 = 10_000;

/// The most reports of one blob that are kept: more of them must not push out those of other blobs.
const MAX_REPORTS_OF_BLOB: u32 = 20;

/// Carries out a change. Hashes whose bytes are to be removed are added to `removed`.
pub(super) fn carry_out<S: Sql>(
    sql: &S,
    time_to_live: Option<Duration>,
    write: &IndexWrite,
    now: Timestamp,
    removed: &mut Vec<BlobHash>,
) -> Result<IndexReply, SqlError> {
    Ok(match write {
        IndexWrite::Claim(upload) => IndexReply::Upload(claim(sql, time_to_live, upload, now)?),
        IndexWrite::Reserve(upload) => IndexReply::Upload(reserve(sql, time_to_live, upload, now)?),
        IndexWrite::Commit(upload) => {
            let answer = commit(sql, time_to_live, upload, now)?;
            if !answer.is_accepted() {
                abandon(sql, &upload.hash, &upload.owner, now, removed)?;
            }
            IndexReply::Upload(answer)
        }
        IndexWrite::Abandon { hash, owner } => {
            abandon(sql, hash, owner, now, removed)?;
            IndexReply::Done
        }
        IndexWrite::Delete { hash, owner } => {
            IndexReply::Deleted(delete(sql, hash, owner.as_ref(), now, removed)?)
        }
        IndexWrite::RemoveOwner { owner, until } => {
            end_all(sql, owner, *until, now)?;
            IndexReply::Done
        }
        IndexWrite::Ban(owner) => {
            sql.execute(
                "INSERT INTO banned_owner (pubkey, banned) VALUES (?, ?) ON CONFLICT (pubkey) DO NOTHING",
                values![owner, now.as_seconds()],
            )?;
            end_all(sql, owner, openagents_host::sql::MAX_INTEGER.unsigned_abs(), now)?;
            IndexReply::Done
        }
        IndexWrite::Unban(owner) => {
            sql.execute("DELETE FROM banned_owner WHERE pubkey = ?", values![owner])?;
            IndexReply::Done
        }
        IndexWrite::Block { hash, reason } => {
            sql.execute(
                "INSERT INTO blocked_blob (hash, reason, blocked) VALUES (?, ?, ?) \
                 ON CONFLICT (hash) DO UPDATE SET reason = excluded.reason",
                values![hash, reason, now.as_seconds()],
            )?;
            delete(sql, hash, None, now, removed)?;
            IndexReply::Done
        }
        IndexWrite::Report(report) => {
            record(sql, report, now)?;
            IndexReply::Done
        }
    })
}

/// Ends whatever a key has uploaded until this second. It is removed a few blobs at a time.
fn end_all<S: Sql>(sql: &S, owner: &PublicKey, until: u64, now: Timestamp) -> Result<(), SqlError> {
    sql.execute(
        "UPDATE blob_owner SET expires = ? WHERE owner = ? AND uploaded <= ?",
        values![now.as_seconds(), owner, until],
    )
}

fn claim<S: Sql>(
    sql: &S,
    time_to_live: Option<Duration>,
    upload: &Upload,
    now: Timestamp,
) -> Result<UploadAnswer, SqlError> {
    let answer = judge(sql, upload, now)?;
    if let UploadAnswer::Exists(record) = &answer {
        add_owner(sql, time_to_live, upload, record, now)?;
    }
    Ok(answer)
}

fn reserve<S: Sql>(
    sql: &S,
    time_to_live: Option<Duration>,
    upload: &Upload,
    now: Timestamp,
) -> Result<UploadAnswer, SqlError> {
    let answer = claim(sql, time_to_live, upload, now)?;
    if answer == UploadAnswer::Wanted {
        sql.execute(
            "INSERT INTO reservation (hash, owner, size, media_type, due, keep_until) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT (hash, owner) DO UPDATE SET size = excluded.size, media_type = excluded.media_type, \
                due = excluded.due, keep_until = excluded.keep_until",
            values![
                &upload.hash,
                &upload.owner,
                upload.size,
                upload.media_type.as_str(),
                now + RESERVATION_TIME,
                upload.expected.map(|expected| expected.keep_until)
            ],
        )?;
        // The bytes of an earlier blob that were to be removed are those of this one.
        sql.execute("DELETE FROM removal WHERE hash = ?", values![&upload.hash])?;
    }
    Ok(answer)
}

/// The bytes of an upload are stored: it is decided again whether they are accepted, since time has passed.
pub(super) fn commit<S: Sql>(
    sql: &S,
    time_to_live: Option<Duration>,
    upload: &Upload,
    now: Timestamp,
) -> Result<UploadAnswer, SqlError> {
    let answer = judge(sql, upload, now)?;
    let record = match answer {
        UploadAnswer::Exists(ref record) => record.clone(),
        UploadAnswer::Wanted => BlobRecord {
            hash: upload.hash,
            size: upload.size,
            media_type: upload.media_type.clone(),
            uploaded: now.as_seconds(),
            expires: end(time_to_live, upload, now),
        },
        refused => return Ok(refused),
    };
    let is_new = answer == UploadAnswer::Wanted;
    if is_new {
        // The row of a blob whose last owner's time is over may still be there.
        sql.execute(
            "INSERT INTO blob (hash, size, media_type, uploaded) VALUES (?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET \
                media_type = excluded.media_type, uploaded = excluded.uploaded",
            values![&record.hash, record.size, record.media_type.as_str(), record.uploaded],
        )?;
        sql.execute("DELETE FROM removal WHERE hash = ?", values![&record.hash])?;
    }
    add_owner(sql, time_to_live, upload, &record, now)?;
    sql.execute(
        "DELETE FROM reservation WHERE hash = ? AND owner = ?",
        values![&upload.hash, &upload.owner],
    )?;
    Ok(if is_new { UploadAnswer::Stored(record) } else { UploadAnswer::Exists(record) })
}

/// When an upload of this moment ends, in seconds since the Unix epoch.
fn end(time_to_live: Option<Duration>, upload: &Upload, now: Timestamp) -> Option<u64> {
    let end = time_to_live.map(|time| (now + time).as_seconds());
    let kept_until = upload.expected.map(|expected| expected.keep_until);
    end.into_iter().chain(kept_until).min()
}

/// Makes somebody an owner of a blob that exists. Uploading again prolongs an ownership that ends.
fn add_owner<S: Sql>(
    sql: &S,
    time_to_live: Option<Duration>,
    upload: &Upload,
    record: &BlobRecord,
    now: Timestamp,
) -> Result<(), SqlError> {
    let end = end(time_to_live, upload, now);
    if owns(sql, upload)? {
        if upload.expected.is_none() {
            uncount_expected(sql, &upload.hash, &upload.owner)?;
        }
        // The later end; none is the latest.
        return sql.execute(
            "UPDATE blob_owner SET expires = max(expires, ?) WHERE hash = ? AND owner = ?",
            values![end, &upload.hash, &upload.owner],
        );
    }
    if upload.expected.is_some() {
        sql.execute(
            "INSERT INTO expected_blob (hash, owner, size) VALUES (?, ?, ?)",
            values![&upload.hash, &upload.owner, record.size],
        )?;
        sql.execute("UPDATE expected_total SET bytes = bytes + ?", values![record.size])?;
    }
    sql.execute(
        "INSERT INTO blob_owner (hash, owner, uploaded, expires) VALUES (?, ?, ?, ?)",
        values![&upload.hash, &upload.owner, now.as_seconds(), end],
    )?;
    sql.execute(
        "INSERT INTO owner (pubkey, blobs, bytes) VALUES (?, 1, ?) \
         ON CONFLICT (pubkey) DO UPDATE SET blobs = blobs + 1, bytes = bytes + excluded.bytes",
        values![&upload.owner, record.size],
    )
}

/// Takes a blob that is not this owner's any more, or not only for as long as it was expected, out of the count.
fn uncount_expected<S: Sql>(sql: &S, hash: &BlobHash, owner: &PublicKey) -> Result<(), SqlError> {
    let size: Option<(u64,)> = sql.first(
        "DELETE FROM expected_blob WHERE hash = ? AND owner = ? RETURNING size",
        values![hash, owner],
    )?;
    match size {
        Some((size,)) => sql.execute("UPDATE expected_total SET bytes = bytes - ?", values![size]),
        None => Ok(()),
    }
}

/// Ends an upload that has failed. What it may have left behind is removed, unless it is somebody's.
pub(super) fn abandon<S: Sql>(
    sql: &S,
    hash: &BlobHash,
    owner: &PublicKey,
    now: Timestamp,
    removed: &mut Vec<BlobHash>,
) -> Result<(), SqlError> {
    sql.execute("DELETE FROM reservation WHERE hash = ? AND owner = ?", values![hash, owner])?;
    remove_bytes_of_nobody(sql, hash, now, removed)
}

fn delete<S: Sql>(
    sql: &S,
    hash: &BlobHash,
    owner: Option<&PublicKey>,
    now: Timestamp,
    removed: &mut Vec<BlobHash>,
) -> Result<Deletion, SqlError> {
    if find(sql, hash, now)?.is_none() {
        return Ok(Deletion::NotFound);
    }
    let owners: Vec<(PublicKey,)> = sql.rows("SELECT owner FROM blob_owner WHERE hash = ?", values![hash])?;
    let mut is_deleted = false;
    for (of,) in owners.iter().filter(|(of,)| owner.is_none_or(|owner| owner == of)) {
        take_from(sql, hash, of, now, removed)?;
        is_deleted = true;
    }
    Ok(if is_deleted { Deletion::Deleted } else { Deletion::NotOwned })
}

/// Takes a blob from one of its owners. Without any, it is gone.
pub(super) fn take_from<S: Sql>(
    sql: &S,
    hash: &BlobHash,
    owner: &PublicKey,
    now: Timestamp,
    removed: &mut Vec<BlobHash>,
) -> Result<(), SqlError> {
    let taken: Option<(i64,)> =
        sql.first("DELETE FROM blob_owner WHERE hash = ? AND owner = ? RETURNING 1", values![hash, owner])?;
    if taken.is_none() {
        return Ok(());
    }
    uncount_expected(sql, hash, owner)?;
    sql.execute(
        "UPDATE owner SET blobs = blobs - 1, bytes = bytes - (SELECT size FROM blob WHERE hash = ?) WHERE pubkey = ?",
        values![hash, owner],
    )?;
    sql.execute("DELETE FROM owner WHERE pubkey = ? AND blobs <= 0", values![owner])?;
    let left: Option<(i64,)> = sql.first("SELECT 1 FROM blob_owner WHERE hash = ? LIMIT 1", values![hash])?;
    if left.is_none() {
        sql.execute("DELETE FROM blob WHERE hash = ?", values![hash])?;
        remove_bytes_of_nobody(sql, hash, now, removed)?;
    }
    Ok(())
}

/// Has the bytes of a blob removed that nobody owns and nobody is uploading.
fn remove_bytes_of_nobody<S: Sql>(
    sql: &S,
    hash: &BlobHash,
    now: Timestamp,
    removed: &mut Vec<BlobHash>,
) -> Result<(), SqlError> {
    let wanted: Option<(i64,)> = sql.first(
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM blob WHERE hash = ?1) \
                     OR EXISTS (SELECT 1 FROM reservation WHERE hash = ?1)",
        values![hash],
    )?;
    if wanted.is_none() {
        sql.execute(
            "INSERT INTO removal (hash, due) VALUES (?, ?) ON CONFLICT (hash) DO UPDATE SET due = excluded.due",
            values![hash, now + REMOVAL_RETRY],
        )?;
        removed.push(*hash);
    }
    Ok(())
}

fn record<S: Sql>(sql: &S, report: &Report, now: Timestamp) -> Result<(), SqlError> {
    for (hash, what) in &report.blobs {
        // Anybody may report: what is not here costs no rows.
        let is_wanted: Option<(i64,)> = sql.first(
            "SELECT 1 FROM blob WHERE hash = ?1 AND (SELECT count(*) FROM blob_report WHERE hash = ?1) < ?2",
            values![hash, MAX_REPORTS_OF_BLOB],
        )?;
        if is_wanted.is_none() {
            continue;
        }
        sql.execute(
            "INSERT INTO blob_report (event, hash, reporter, what, text, reported) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT (event, hash) DO NOTHING",
            values![&report.id, hash, &report.reporter, what, &report.text, now.as_seconds()],
        )?;
    }
    sql.execute(
        "DELETE FROM blob_report WHERE number <= (SELECT max(number) FROM blob_report) - ?",
        values![MAX_REPORTS],
    )
}
