//! Blobs as inputs: waits for those that the `url` inputs of a request name, which its customer may upload after the
//! request (BUD-02).

use std::time::Duration;

use openagents_host::sql::values;
use openagents_host::{BlobHash, EventId, PublicKey, Sql, SqlError, Timestamp};

use super::JobEngine;
use super::intake::requests::ReadableRequest;
use super::job_state::JobState;
use super::jobs::JobRow;
use super::vocabulary::WantedBlob;
use crate::nip90::Status;

/// How long a job waits for an upload to begin.
pub(super) const BLOB_TIMEOUT: Duration = Duration::from_secs(60);

/// How long after its request an upload that has begun in time may end.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(5 * 60);

impl<S: Sql> JobEngine<S> {
    /// Records the blobs that a job needs. Returns whether there are any.
    pub(super) fn want_blobs(&self, job: &JobRow, readable: &ReadableRequest) -> Result<bool, SqlError> {
        let Some((_, handler)) = self.spec.handler(job.kind.0) else { return Ok(false) };
        let mut wants = false;
        for (hash, url) in readable.named_blobs(&handler.declaration) {
            self.sql.execute(
                "INSERT INTO job_blob (job, hash, customer, url, state) VALUES (?, ?, ?, ?, 'wanted')
                 ON CONFLICT DO NOTHING",
                values![&job.id, &hash, &job.customer, url],
            )?;
            wants = true;
        }
        Ok(wants)
    }

    /// The blobs that a job still needs. Their URLs are tried once.
    pub(super) fn missing_blobs(&self, job: &EventId) -> Result<Vec<WantedBlob>, SqlError> {
        let missing = self.sql.rows::<(BlobHash, String, bool)>(
            "SELECT hash, url, state = 'wanted' FROM job_blob WHERE job = ? AND state <> 'found'",
            values![job],
        )?;
        Ok(missing.into_iter().map(|(hash, url, tries_url)| WantedBlob { hash, url, tries_url }).collect())
    }

    /// Notes which of a job's blobs were found. Tells the customer when one is missing for the first time. Returns whether
    /// any is still missing.
    pub(super) fn note_blobs(
        &mut self,
        now: Timestamp,
        job: &JobRow,
        readable: &ReadableRequest,
        found: &[BlobHash],
    ) -> Result<bool, SqlError> {
        let (mut is_missing, mut is_untold) = (false, None);
        for blob in self.missing_blobs(&job.id)? {
            let is_found = found.contains(&blob.hash);
            self.sql.execute(
                "UPDATE job_blob SET state = ? WHERE job = ? AND hash = ?",
                values![if is_found { "found" } else { "missing" }, &job.id, &blob.hash],
            )?;
            is_missing |= !is_found;
            if !is_found && blob.tries_url {
                is_untold.get_or_insert(blob.hash);
            }
        }
        if let Some(hash) = is_untold {
            let seconds = BLOB_TIMEOUT.as_secs();
            let text = format!("waiting up to {seconds} s for the upload of {hash}");
            self.send_status(now, job, readable, &Status::Processing, Some(&text))?;
        }
        Ok(is_missing)
    }

    /// Whether an unfinished job of this customer names this blob, whose upload begins.
    pub(super) fn expects_blob(&self, customer: &PublicKey, hash: &BlobHash) -> Result<bool, SqlError> {
        let jobs = self.sql.rows::<(EventId,)>(
            "SELECT job FROM job_blob WHERE hash = ? AND customer = ?",
            values![hash, customer],
        )?;
        for (job,) in &jobs {
            if let Some(job) = self.jobs.find(job)?
                && let Some(deadline) = job.deadline.filter(|_| job.state == JobState::AwaitingInput)
            {
                self.jobs.wait_until(&job.id, deadline.max(job.received_at + UPLOAD_TIMEOUT))?;
            }
        }
        Ok(!jobs.is_empty())
    }

    /// A blob was uploaded: the jobs that wait for it are due.
    pub(super) fn blob_arrived(&mut self, now: Timestamp, hash: &BlobHash) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job_blob SET state = 'found' WHERE hash = ?", values![hash])?;
        self.sql.execute(
            "UPDATE job SET due = ? WHERE state = 'awaiting_input' AND id IN (SELECT job FROM job_blob WHERE hash = ?)",
            values![now, hash],
        )
    }

    /// Deletes the blobs of a job that has ended.
    pub(super) fn forget_blobs(&self, job: &EventId) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM job_blob WHERE job = ?", values![job])
    }
}
