//! What is kept of finished jobs and of conversations, for how long, and how a customer is forgotten (NIP-62).

use std::time::Duration;

use openagents_host::sql::{Value, values};
use openagents_host::{EventId, PublicKey, Sql, SqlError, Timestamp, VerifiedEvent};

use super::job_state::JobState;
use super::{Effect, JobEngine, Lease, RequestAdmission, RunId};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long finished jobs are kept.
const JOB_RETENTION: Duration = DAY.saturating_mul(30);

/// The most bytes of requests and answers of finished jobs.
const MAX_RECORD_BYTES: u64 = 256 * 1024 * 1024;

/// How long a conversation is kept in which nothing is said.
const CONVERSATION_RETENTION: Duration = DAY.saturating_mul(90);

/// The most conversations.
pub(super) const MAX_CONVERSATIONS: u64 = 10_000;

/// Finished jobs with their requests, oldest first.
const KEPT: &str = "job INDEXED BY job_kept WHERE finished_at IS NOT NULL AND request <> ''";

/// Finished jobs of which only the row is left, oldest first.
const STRIPPED: &str = "job INDEXED BY job_stripped WHERE finished_at IS NOT NULL AND request = ''";

/// The jobs of a customer (1) that were requested up to a second (2). Of a job that has no request on record any more,
/// that time is not known.
const REQUESTED_UNTIL: &str = "job WHERE customer = ?1
     AND CASE WHEN json_valid(request) THEN request ->> '$.created_at' <= ?2 ELSE 1 END";

impl<S: Sql> JobEngine<S> {
    /// Deletes a few jobs that ended long ago. If the others take too many bytes, the requests and answers of the
    /// oldest are deleted, but not the row, since the request would be taken again.
    pub(super) fn prune_jobs(&self, now: Timestamp) -> Result<(), SqlError> {
        let oldest = self.sql.first::<(Option<Timestamp>, Option<Timestamp>)>(
            &format!(
                "SELECT (SELECT min(finished_at) FROM {KEPT}), (SELECT min(finished_at) FROM {STRIPPED})"
            ),
            &[],
        )?;
        let (kept, stripped) = oldest.unwrap_or_default();
        let may_come_again = now - self.may_come_again();
        let old = now - JOB_RETENTION.max(self.may_come_again());
        for (jobs, oldest, before) in [(KEPT, kept, old), (STRIPPED, stripped, may_come_again)] {
            if oldest.is_some_and(|oldest| oldest < before) {
                let some = format!("{jobs} AND finished_at < ? ORDER BY finished_at LIMIT 4");
                self.delete_jobs(&some, values![before])?;
            }
        }
        let some = format!("{KEPT} ORDER BY finished_at LIMIT 16");
        let mut bytes = self.record_bytes()?;
        while bytes > self.options.max_record_bytes.unwrap_or(MAX_RECORD_BYTES) {
            self.uncount(&some, &[])?;
            let strip =
                format!("UPDATE job SET request = '', answer = NULL WHERE seq IN (SELECT seq FROM {some})");
            self.sql.execute(&strip, &[])?;
            let left = self.record_bytes()?;
            if left >= bytes {
                break;
            }
            bytes = left;
        }
        Ok(())
    }

    /// How long a request may come again and must be known: longer than it would be accepted.
    fn may_come_again(&self) -> Duration {
        self.spec.declaration.max_age.saturating_mul(2)
    }

    fn record_bytes(&self) -> Result<u64, SqlError> {
        let sum = self.sql.first::<(u64,)>("SELECT max(0, coalesce(sum(bytes), 0)) FROM metric", &[])?;
        Ok(sum.map_or(0, |(bytes,)| bytes))
    }

    /// Takes the bytes of these jobs' records out of the count.
    fn uncount(&self, jobs: &str, values: &[Value<'_>]) -> Result<(), SqlError> {
        self.sql.execute(
            &format!(
                "UPDATE metric SET bytes = bytes - (
                     SELECT coalesce(sum(octet_length(request) + coalesce(octet_length(answer), 0)), 0)
                     FROM job WHERE seq IN (SELECT seq FROM {jobs}) AND request <> '' AND finished_at IS NOT NULL
                         AND job.kind = metric.kind AND job.state = metric.state)"
            ),
            values,
        )
    }

    /// Deletes these jobs.
    fn delete_jobs(&self, jobs: &str, values: &[Value<'_>]) -> Result<(), SqlError> {
        self.uncount(jobs, values)?;
        for table in ["job_source", "job_input", "job_blob"] {
            self.sql.execute(&format!("DELETE FROM {table} WHERE job IN (SELECT id FROM {jobs})"), values)?;
        }
        // For the others, the wallet is still to be called.
        let ended = format!("DELETE FROM invoice WHERE due IS NULL AND job IN (SELECT id FROM {jobs})");
        self.sql.execute(&ended, values)?;
        self.sql.execute(&format!("DELETE FROM job WHERE seq IN (SELECT seq FROM {jobs})"), values)
    }

    /// Notes that something was said in a conversation. Deletes a few in which nothing was said for long and, if there
    /// are too many, those that were used least recently.
    pub(super) fn conversed(
        &self,
        now: Timestamp,
        customer: &PublicKey,
        is_new: bool,
    ) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO conversation (customer, last_at) VALUES (?, ?)
             ON CONFLICT (customer) DO UPDATE SET last_at = excluded.last_at",
            values![customer, now],
        )?;
        let count = match is_new {
            true => self.sql.first::<(u64,)>("SELECT count(*) FROM conversation WHERE last_at >= 0", &[])?,
            false => None,
        };
        let has_room = count.is_none_or(|(count,)| count <= MAX_CONVERSATIONS);
        let before = if has_room { now - CONVERSATION_RETENTION } else { now };
        let unused = self.sql.rows::<(PublicKey,)>(
            "SELECT customer FROM conversation WHERE last_at < ? ORDER BY last_at LIMIT 4",
            values![before],
        )?;
        unused.iter().try_for_each(|(customer,)| self.delete_conversation(customer))
    }

    fn delete_conversation(&self, customer: &PublicKey) -> Result<(), SqlError> {
        for table in ["turn", "conversation"] {
            self.sql.execute(&format!("DELETE FROM {table} WHERE customer = ?"), values![customer])?;
        }
        Ok(())
    }

    /// Forgets the author of a request to vanish: jobs, the conversation, values in memory whose keys begin with the
    /// author's key, cancellations, and events that are still to be sent. Unfinished jobs end without a word. What the
    /// author requested until then is not taken again, if it comes from another relay.
    pub(super) fn forget_customer(
        &mut self,
        now: Timestamp,
        request: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) -> Result<RequestAdmission, SqlError> {
        let (customer, until) = (&request.pubkey, request.created_at);
        let hex = customer.to_hex();
        let requested = values![customer, until];
        let jobs = self.sql.rows::<(EventId, bool)>(
            &format!("SELECT id, finished_at IS NULL FROM {REQUESTED_UNTIL}"),
            requested,
        )?;
        for (id, _) in jobs.iter().filter(|(_, is_unfinished)| *is_unfinished) {
            let Some(job) = self.jobs.find(id)? else { continue };
            if job.state == JobState::Running {
                effects.push(Effect::Abort { lease: Lease { run: RunId::Job(*id), attempt: job.attempt } });
            }
            self.end_silently(now, &job, JobState::Cancelled)?;
        }
        if !jobs.is_empty() {
            self.delete_jobs(REQUESTED_UNTIL, requested)?;
            let tag = format!("\"p\",\"{hex}\"");
            self.sql.execute("DELETE FROM outbox WHERE instr(event, ?)", values![&tag])?;
            self.sql.execute(
                "INSERT INTO vanished (customer, until, noted_at) VALUES (?, ?, ?)
                 ON CONFLICT (customer) DO UPDATE SET until = max(until, excluded.until), noted_at = excluded.noted_at",
                values![customer, until, now],
            )?;
        }
        self.ledger.forget(customer)?;
        let past = now - self.may_come_again();
        self.sql.execute("DELETE FROM vanished WHERE noted_at < ?", values![past])?;
        self.delete_conversation(customer)?;
        // `g` follows every hex digit.
        let end = format!("{hex}g");
        self.sql.execute("DELETE FROM memory WHERE key >= ? AND key < ?", values![&hex, &end])?;
        self.scheduled_runs.forget_keys(&hex, &end)?;
        for number in self.received_events.forget_author(customer)? {
            if let Some(running) = self.running.get(&RunId::Event(number)) {
                effects.push(Effect::Abort {
                    lease: Lease { run: RunId::Event(number), attempt: running.attempt },
                });
            }
        }
        self.sql.execute("DELETE FROM cancellation WHERE author = ?", values![customer])?;
        Ok(RequestAdmission::Vanished)
    }
}
