//! Cancellations: a kind 5 event by the customer that names the request (NIP-90, NIP-09).

use openagents_host::sql::values;
use openagents_host::{EventId, PublicKey, Sql, SqlError, Timestamp, VerifiedEvent};

use super::job_state::JobState;
use super::requests::Unreadable;
use super::{Admission, Effect, JobEngine, Lease, RunId};
use crate::nip90::Cancellation;

/// What the customer is told.
pub(super) const CANCELLED: &str = "cancelled by the customer";

impl<S: Sql> JobEngine<S> {
    /// Ends the jobs that a customer no longer wants, in whatever state they are; those that are not here yet are not
    /// begun when they come.
    pub(super) fn cancel(
        &mut self,
        now: Timestamp,
        event: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) -> Result<Admission, SqlError> {
        let Some(cancellation) = Cancellation::from_event(event) else { return Ok(Admission::NotOurs) };
        for request in &cancellation.requests {
            let Some(job) = self.ledger.find(request)? else {
                self.note_cancellation(now, request, &cancellation.author)?;
                continue;
            };
            // NIP-09: only an author's own events.
            if job.customer != cancellation.author || job.state.is_final() {
                continue;
            }
            if job.state == JobState::Running {
                let lease = Lease { run: RunId::Job(job.id), attempt: job.attempt };
                self.running_ended(lease);
                effects.push(Effect::Abort { lease });
            }
            match self.requests.on_record(&job.id) {
                Ok(readable) => {
                    self.end_with_error(now, &job, &readable, JobState::Cancelled, CANCELLED)?;
                }
                Err(Unreadable::Sql(error)) => return Err(error),
                Err(Unreadable::Damaged(_)) => {
                    self.ledger.end(&job.id, job.state, JobState::Cancelled, "", now)?;
                    self.unfinished = self.unfinished.saturating_sub(1);
                }
            }
        }
        Ok(Admission::Cancellation)
    }

    /// Whether the author of a request that is not on record yet has cancelled it.
    pub(super) fn was_cancelled(&self, request: &EventId, author: &PublicKey) -> Result<bool, SqlError> {
        let noted = self.sql.first::<(Timestamp,)>(
            "SELECT noted_at FROM cancellation WHERE request = ? AND author = ?",
            values![request, author],
        )?;
        Ok(noted.is_some())
    }

    fn note_cancellation(
        &self,
        now: Timestamp,
        request: &EventId,
        author: &PublicKey,
    ) -> Result<(), SqlError> {
        // A request that old is refused in any case.
        self.sql.execute(
            "DELETE FROM cancellation WHERE noted_at < ?",
            values![now - self.facts.declaration.max_age],
        )?;
        self.sql.execute(
            "INSERT INTO cancellation (request, author, noted_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            values![request, author, now],
        )
    }
}
