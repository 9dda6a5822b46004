//! Cancellations: a kind 5 event by the customer that names the job request (NIP-90, NIP-09).

use openagents_host::sql::values;
use openagents_host::{EventId, PublicKey, Sql, SqlError, Timestamp, VerifiedEvent};

use super::MAX_CLOCK_SKEW;
use super::requests::UnreadableRequest;
use crate::engine::job_state::JobState;
use crate::engine::{Effect, JobEngine, Lease, RequestAdmission, RunId};
use crate::nip90::Cancellation;

/// The message for the customer.
pub(in crate::engine) const CANCELLED: &str = "cancelled by the customer";

/// The most stored cancellations of requests that have not arrived.
pub(in crate::engine) const MAX_NOTED: u32 = 10_000;

impl<S: Sql> JobEngine<S> {
    /// Cancels the jobs that the event names, in any state. A job whose request arrives later is not started.
    pub(in crate::engine) fn cancel(
        &mut self,
        now: Timestamp,
        event: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) -> Result<RequestAdmission, SqlError> {
        let Some(cancellation) = Cancellation::from_event(event) else {
            return Ok(RequestAdmission::NotOurs);
        };
        self.forget_cancellations(now)?;
        for request in &cancellation.requests {
            let Some(job) = self.jobs.find(request)? else {
                self.note_cancellation(now, request, &cancellation.author)?;
                continue;
            };
            // By NIP-09, an author may only delete their own events.
            if job.customer != cancellation.author || job.state.is_final() {
                continue;
            }
            if job.state == JobState::Running {
                let lease = Lease { run: RunId::Job(job.id), attempt: job.attempt };
                effects.push(Effect::Abort { lease });
            }
            match self.requests.on_record(&job.id) {
                Ok(readable) => {
                    self.end_with_error(now, &job, &readable, JobState::Cancelled, CANCELLED)?;
                }
                Err(UnreadableRequest::Sql(error)) => return Err(error),
                Err(UnreadableRequest::Damaged(_)) => self.end_silently(now, &job, JobState::Cancelled)?,
            }
        }
        Ok(RequestAdmission::Cancellation)
    }

    /// Whether a request that has just arrived was already cancelled by its author.
    pub(in crate::engine) fn was_cancelled(
        &self,
        request: &EventId,
        author: &PublicKey,
    ) -> Result<bool, SqlError> {
        let noted = self.sql.first::<(Timestamp,)>(
            "SELECT noted_at FROM cancellation WHERE request = ? AND author = ?",
            values![request, author],
        )?;
        Ok(noted.is_some())
    }

    /// Deletes cancellations of requests that would be too old by now, and the oldest ones if there are too many:
    /// anyone can cancel requests that do not exist.
    fn forget_cancellations(&self, now: Timestamp) -> Result<(), SqlError> {
        let oldest = now - self.spec.declaration.max_age - MAX_CLOCK_SKEW;
        self.sql.execute("DELETE FROM cancellation WHERE noted_at < ?", values![oldest])?;
        let surplus = self.sql.first::<(Timestamp,)>(
            "SELECT noted_at FROM cancellation ORDER BY noted_at DESC LIMIT 1 OFFSET ?",
            values![MAX_NOTED],
        )?;
        match surplus {
            Some((noted_at,)) => {
                self.sql.execute("DELETE FROM cancellation WHERE noted_at <= ?", values![noted_at])
            }
            None => Ok(()),
        }
    }

    fn note_cancellation(
        &self,
        now: Timestamp,
        request: &EventId,
        author: &PublicKey,
    ) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO cancellation (request, author, noted_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            values![request, author, now],
        )
    }
}
