//! The `metric` table: number, duration and income of finished jobs and the size of their records, by kind and state.

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

use super::JobEngine;
use super::job_state::JobState;
use super::jobs::JobRow;

impl<S: Sql> JobEngine<S> {
    /// Counts a finished job, of which so many bytes are kept.
    pub(super) fn count_ended(
        &self,
        now: Timestamp,
        job: &JobRow,
        state: JobState,
        bytes: u64,
    ) -> Result<(), SqlError> {
        let elapsed = u64::try_from(job.received_at.until(now).as_millis()).unwrap_or(u64::MAX);
        let msat = if state == JobState::Done { job.price.unwrap_or_default().as_msat() } else { 0 };
        self.sql.execute(
            "INSERT INTO metric (kind, state, jobs, elapsed, msat, bytes) VALUES (?, ?, 1, ?, ?, ?)
             ON CONFLICT (kind, state) DO UPDATE SET
                 jobs = jobs + 1, elapsed = elapsed + excluded.elapsed, msat = msat + excluded.msat,
                 bytes = bytes + excluded.bytes",
            values![job.kind, state.as_str(), elapsed, msat, bytes],
        )
    }
}
