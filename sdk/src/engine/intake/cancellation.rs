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

/// The most of one author: as many as one event can name.
pub(in crate::engine) const MAX_NOTED_PER_AUTHOR: u32 = 100;

/// How many are left when there were too many, so that not each further one has to look for the next to go.
const LEFT: u32 = 9_000;

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
        let mut has_noted = false;
        for request in &cancellation.requests {
            let Some(job) = self.jobs.find(request)? else {
                self.note_cancellation(now, request, &cancellation.author)?;
                has_noted = true;
                continue;
            };
            // By NIP-09, an author may only delete their own events.
            if job.customer != cancellation.author || job.state.is_final() {
                continue;
            }
            // Its result is there, and the payment for it is being taken.
            if self.is_being_paid(&job)? {
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
        if has_noted {
            self.limit_cancellations(now, &cancellation.author)?;
        }
        Ok(RequestAdmission::Cancellation)
    }

    /// Deletes cancellations of requests that would be too old by now, and surplus ones: anyone can cancel requests that
    /// do not exist. Those go first of which the author has noted the most later ones, so that a few authors cannot push
    /// out those of all others.
    fn limit_cancellations(&self, now: Timestamp, author: &PublicKey) -> Result<(), SqlError> {
        let oldest = now - self.spec.declaration.max_age - MAX_CLOCK_SKEW;
        self.sql.execute("DELETE FROM cancellation WHERE noted_at < ?", values![oldest])?;
        self.sql.execute(
            "DELETE FROM cancellation WHERE author = ?1 AND request IN (
                 SELECT request FROM cancellation WHERE author = ?1 ORDER BY noted_at DESC LIMIT -1 OFFSET ?2)",
            values![author, MAX_NOTED_PER_AUTHOR],
        )?;
        let count = self.sql.first::<(u32,)>("SELECT count(*) FROM cancellation WHERE noted_at >= 0", &[])?;
        let count = count.map_or(0, |(count,)| count);
        if count <= MAX_NOTED {
            return Ok(());
        }
        self.sql.execute(
            "DELETE FROM cancellation WHERE (request, author) IN (
                 SELECT request, author FROM (
                     SELECT request, author, noted_at,
                         row_number() OVER (PARTITION BY author ORDER BY noted_at DESC) AS later
                     FROM cancellation)
                 ORDER BY later DESC, noted_at LIMIT ?)",
            values![count.saturating_sub(LEFT)],
        )
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
