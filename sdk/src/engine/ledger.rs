//! The jobs on record.

use openagents_host::sql::values;
use openagents_host::{Event, EventId, Sql, SqlError, Timestamp};

use super::{Lease, RunId};
use crate::job::JobRequest;

/// The state of a job that has a result.
pub(super) const DONE: &str = "done";

/// The state of a job that ended with an error.
pub(super) const FAILED: &str = "failed";

pub(super) struct Ledger<S> {
    sql: S,
}

/// A job that waits for its turn.
pub(super) struct Queued {
    pub(super) request: Box<JobRequest>,
    /// How many attempts were begun already.
    pub(super) attempt: u32,
}

impl<S: Sql> Ledger<S> {
    pub(super) fn new(sql: S) -> Self {
        Self { sql }
    }

    /// Puts a request on record; says whether it is new.
    pub(super) fn record(&self, request: &JobRequest, now: Timestamp) -> Result<bool, SqlError> {
        let recorded = self.sql.first::<(u64,)>(
            "INSERT INTO job (id, kind, customer, request, state, attempt, due, received_at)
             VALUES (?, ?, ?, ?, 'queued', 0, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING seq",
            values![&request.id(), request.kind(), &request.customer(), &**request.event.json(), now, now],
        )?;
        Ok(recorded.is_some())
    }

    /// The job whose turn it is.
    pub(super) fn next(&self, now: Timestamp) -> Result<Option<Queued>, SqlError> {
        let next = self.sql.first::<(String, u32)>(
            "SELECT request, attempt FROM job INDEXED BY job_queued
             WHERE state = 'queued' AND due <= ? ORDER BY seq LIMIT 1",
            values![now],
        )?;
        next.map(|(json, attempt)| Ok(Queued { request: Box::new(request(&json)?), attempt })).transpose()
    }

    /// The kind of the job whose turn it is.
    pub(super) fn next_kind(&self, now: Timestamp) -> Result<Option<u16>, SqlError> {
        let next = self.sql.first::<(u16,)>(
            "SELECT kind FROM job INDEXED BY job_queued
             WHERE state = 'queued' AND due <= ? ORDER BY seq LIMIT 1",
            values![now],
        )?;
        Ok(next.map(|(kind,)| kind))
    }

    /// When the next queued job becomes due after `now`, or the next lease runs out.
    pub(super) fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        let queued = self.sql.first::<(Option<Timestamp>,)>(
            "SELECT min(due) FROM job WHERE state = 'queued' AND due > ?",
            values![now],
        )?;
        let running = self
            .sql
            .first::<(Option<Timestamp>,)>("SELECT min(due) FROM job WHERE state = 'running'", &[])?;
        Ok([queued, running].into_iter().flatten().filter_map(|(due,)| due).min())
    }

    pub(super) fn lease(&self, lease: Lease, until: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE job SET state = 'running', attempt = ?, due = ? WHERE id = ?",
            values![lease.attempt, until, &lease.job()],
        )
    }

    /// The job of a lease; nothing when the lease is over.
    pub(super) fn leased(&self, lease: Lease) -> Result<Option<Queued>, SqlError> {
        let job = self.sql.first::<(String,)>(
            "SELECT request FROM job WHERE id = ? AND state = 'running' AND attempt = ?",
            values![&lease.job(), lease.attempt],
        )?;
        job.map(|(json,)| Ok(Queued { request: Box::new(request(&json)?), attempt: lease.attempt }))
            .transpose()
    }

    /// All leases that are not over.
    pub(super) fn leases(&self) -> Result<Vec<Lease>, SqlError> {
        let leases =
            self.sql.rows::<(EventId, u32)>("SELECT id, attempt FROM job WHERE state = 'running'", &[])?;
        Ok(leases.into_iter().map(|(job, attempt)| Lease { run: RunId::Job(job), attempt }).collect())
    }

    /// The leases that have run out.
    pub(super) fn expired(&self, now: Timestamp) -> Result<Vec<Lease>, SqlError> {
        let expired = self.sql.rows::<(EventId, u32)>(
            "SELECT id, attempt FROM job WHERE state = 'running' AND due <= ?",
            values![now],
        )?;
        Ok(expired.into_iter().map(|(job, attempt)| Lease { run: RunId::Job(job), attempt }).collect())
    }

    pub(super) fn requeue(&self, job: EventId, due: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET state = 'queued', due = ? WHERE id = ?", values![due, &job])
    }

    /// Ends all leases: whoever held them is gone.
    pub(super) fn interrupt_all(&self, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET state = 'queued', due = ? WHERE state = 'running'", values![now])
    }

    pub(super) fn end(&self, job: EventId, state: &str, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE job SET state = ?, due = NULL, finished_at = ? WHERE id = ?",
            values![state, now, &job],
        )
    }
}

/// Reads a request back from the ledger, which holds verified ones only; checking again costs less than trusting a file.
fn request(json: &str) -> Result<JobRequest, SqlError> {
    let corrupt = |error: &dyn std::fmt::Display| {
        SqlError::Statement(format!("a request on record is damaged: {error}"))
    };
    let event = Event::from_json(json).map_err(|error| corrupt(&error))?;
    let event = event.verify().map_err(|error| corrupt(&error))?;
    JobRequest::from_event(event).map_err(|error| corrupt(&error))
}
