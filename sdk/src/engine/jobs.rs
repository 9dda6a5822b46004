//! The `job` table: one row for each job request.

use openagents_host::sql::{FromRow, Row, Value, values};
use openagents_host::{EventId, Kind, PublicKey, Sql, SqlError, Timestamp};

use super::job_state::JobState;
use super::{Hook, Lease, RunId};
use crate::price::Price;

pub(super) struct JobTable<S> {
    sql: S,
}

/// A row of the `job` table.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    pub(super) id: EventId,
    pub(super) kind: Kind,
    pub(super) customer: PublicKey,
    pub(super) state: JobState,
    /// How many attempts have started.
    pub(super) attempt: u32,
    pub(super) price: Option<Price>,
    pub(super) deadline: Option<Timestamp>,
    /// The external relay from which the request came.
    pub(super) source: Option<String>,
    pub(super) received_at: Timestamp,
}

type DueColumns = (
    Option<u16>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<Timestamp>,
);

/// When jobs are next due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JobDueTimes {
    /// The kind of the next queued job, if it may start now.
    pub(super) next_kind: Option<u16>,
    /// When the next postponed attempt may start.
    pub(super) queued: Option<Timestamp>,
    /// When the next lease expires.
    pub(super) running: Option<Timestamp>,
    /// When the next job that waits for inputs, price or payment is due.
    pub(super) waiting: Option<Timestamp>,
    /// When the wallet is next called for an invoice whose job has ended.
    pub(super) invoices: Option<Timestamp>,
}

impl JobDueTimes {
    /// The earliest of these times.
    pub(super) fn next(&self) -> Option<Timestamp> {
        [self.queued, self.running, self.waiting, self.invoices].into_iter().flatten().min()
    }
}

/// A row to insert.
pub(super) struct NewJob<'a> {
    pub(super) id: &'a EventId,
    pub(super) kind: Kind,
    pub(super) customer: &'a PublicKey,
    pub(super) request: &'a str,
    pub(super) source: Option<&'a str>,
    /// `Received`, or a later state if nothing has to be determined first.
    pub(super) state: JobState,
    /// The price, if it is known.
    pub(super) price: Option<Price>,
}

/// The `i` tags of a stored request as JSON, separated by commas.
macro_rules! repeated_inputs {
    () => {
        "coalesce((SELECT group_concat(value) FROM json_each(job.request, '$.tags') WHERE value ->> 0 = 'i'), '')"
    };
}

/// The event that ended a job, with what it repeats of the request; see [`JobTable::end`].
pub(super) const ANSWER: &str = concat!(
    "CASE WHEN state = 'done' AND json_valid(request)
     THEN replace(replace(answer, char(2), ",
    repeated_inputs!(),
    "), char(1), json_quote(request)) ELSE answer END"
);

const COLUMNS: &str = "id, kind, customer, state, attempt, price, deadline, source, received_at";

impl<S: Sql> JobTable<S> {
    pub(super) fn new(sql: S) -> Self {
        Self { sql }
    }

    /// Inserts a job.
    pub(super) fn record(&self, job: &NewJob<'_>, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO job (id, kind, customer, request, state, attempt, due, price, source, received_at)
             VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
            values![
                job.id,
                job.kind,
                job.customer,
                job.request,
                job.state.as_str(),
                now,
                job.price.map(Price::as_msat),
                job.source,
                now
            ],
        )
    }

    /// The job with this request id.
    pub(super) fn find(&self, id: &EventId) -> Result<Option<JobRow>, SqlError> {
        self.one(&format!("SELECT {COLUMNS} FROM job WHERE id = ?"), values![id])
    }

    /// The next queued job.
    pub(super) fn next(&self, now: Timestamp) -> Result<Option<JobRow>, SqlError> {
        self.one(
            &format!(
                "SELECT {COLUMNS} FROM job INDEXED BY job_queued
                 WHERE state = 'queued' AND (attempt = 0 OR due <= ?) ORDER BY seq LIMIT 1"
            ),
            values![now],
        )
    }

    /// Jobs that wait for inputs, price or payment and are due.
    pub(super) fn waiting(&self, now: Timestamp, limit: usize) -> Result<Vec<EventId>, SqlError> {
        let waiting = self.sql.rows::<(EventId,)>(
            "SELECT id FROM job INDEXED BY job_waiting_due
             WHERE state IN ('received', 'awaiting_input', 'awaiting_payment') AND due <= ? ORDER BY due LIMIT ?",
            values![now, limit],
        )?;
        Ok(waiting.into_iter().map(|(id,)| id).collect())
    }

    /// When jobs are next due, in one statement, since this is needed after every input.
    pub(super) fn dues(&self, now: Timestamp) -> Result<JobDueTimes, SqlError> {
        let dues = self.sql.first::<DueColumns>(
            "SELECT
                 (SELECT kind FROM job INDEXED BY job_queued
                  WHERE state = 'queued' AND (attempt = 0 OR due <= ?1) ORDER BY seq LIMIT 1),
                 (SELECT min(due) FROM job WHERE state = 'queued' AND attempt > 0 AND due > ?1),
                 (SELECT min(due) FROM job WHERE state = 'running'),
                 (SELECT min(due) FROM own_run),
                 (SELECT min(due) FROM job WHERE state IN ('received', 'awaiting_input', 'awaiting_payment')),
                 (SELECT min(due) FROM invoice WHERE due IS NOT NULL)",
            values![now],
        )?;
        let Some((next_kind, queued, running, own, waiting, invoices)) = dues else {
            return Ok(JobDueTimes::default());
        };
        let running = [running, own].into_iter().flatten().min();
        Ok(JobDueTimes { next_kind, queued, running, waiting, invoices })
    }

    /// The event that ended a job, as JSON.
    pub(super) fn answer(&self, id: &EventId) -> Result<Option<String>, SqlError> {
        let row = self
            .sql
            .first::<(Option<String>,)>(&format!("SELECT {ANSWER} FROM job WHERE id = ?"), values![id])?;
        Ok(row.and_then(|(answer,)| answer))
    }

    /// The external relays on which a request was seen, earliest first.
    pub(super) fn sources(&self, job: &JobRow) -> Result<Vec<String>, SqlError> {
        let later =
            self.sql.rows::<(String,)>("SELECT relay FROM job_source WHERE job = ?", values![&job.id])?;
        Ok(job.source.iter().cloned().chain(later.into_iter().map(|(relay,)| relay)).collect())
    }

    /// Records that a request was seen on an external relay. Returns whether that is new.
    pub(super) fn seen_on(&self, job: &JobRow, relay: &str) -> Result<bool, SqlError> {
        if job.source.as_deref() == Some(relay) {
            return Ok(false);
        }
        let new = self.sql.first::<(String,)>(
            "INSERT INTO job_source (job, relay) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING relay",
            values![&job.id, relay],
        )?;
        Ok(new.is_some())
    }

    /// Moves a job from one state to another. Returns whether it was in the first.
    pub(super) fn advance(
        &self,
        id: &EventId,
        from: JobState,
        to: JobState,
        due: Option<Timestamp>,
    ) -> Result<bool, SqlError> {
        check_step(from, to)?;
        let advanced = self.sql.first::<(u64,)>(
            "UPDATE job SET state = ?, due = ? WHERE id = ? AND state = ? RETURNING seq",
            values![to.as_str(), due, id, from.as_str()],
        )?;
        Ok(advanced.is_some())
    }

    /// Ends a job that is in this state, and stores the event that ended it. Returns how many bytes the request and this
    /// event take, or 0 if the request is not kept because nobody needs it again.
    ///
    /// A result repeats its request and the inputs (NIP-90); what it repeats is not stored twice.
    pub(super) fn end(
        &self,
        id: &EventId,
        from: JobState,
        to: JobState,
        answer: &str,
        now: Timestamp,
    ) -> Result<u64, SqlError> {
        if !to.is_final() {
            return Err(SqlError::Statement(format!("`{to}` is not a final state")));
        }
        check_step(from, to)?;
        // JSON has no control characters, so a replaced part is found again.
        let size = self.sql.first::<(u64,)>(
            concat!(
                "UPDATE job SET state = ?1, due = NULL, finished_at = ?3,
                     request = iif(?1 IN ('rejected', 'cancelled'), '', request),
                     answer = CASE WHEN ?1 = 'done' AND octet_length(request) > 1000 AND json_valid(request)
                         THEN replace(replace(?2, json_quote(request), char(1)), ",
                repeated_inputs!(),
                ", char(2)) ELSE ?2 END
                 WHERE id = ?4 AND state = ?5
                 RETURNING iif(request = '', 0, octet_length(request) + octet_length(answer))"
            ),
            values![to.as_str(), answer, now, id, from.as_str()],
        )?;
        Ok(size.map_or(0, |(bytes,)| bytes))
    }

    /// Deletes a job's inputs from other jobs.
    pub(super) fn forget_inputs(&self, id: &EventId) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM job_input WHERE job = ?", values![id])
    }

    /// Sets when a waiting job is due.
    pub(super) fn postpone(&self, id: &EventId, due: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET due = ? WHERE id = ?", values![due, id])
    }

    /// Postpones a waiting job, unless it is due already.
    pub(super) fn defer(&self, id: &EventId, now: Timestamp, due: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET due = ? WHERE id = ? AND due > ?", values![due, id, now])
    }

    /// Sets the time at which a job stops waiting and fails.
    pub(super) fn wait_until(&self, id: &EventId, deadline: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET deadline = ? WHERE id = ?", values![deadline, id])
    }

    pub(super) fn price(&self, id: &EventId, price: Price) -> Result<(), SqlError> {
        self.sql.execute("UPDATE job SET price = ? WHERE id = ?", values![price.as_msat(), id])
    }

    /// Leases a queued job for a run.
    pub(super) fn lease(
        &self,
        id: &EventId,
        attempt: u32,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE job SET state = 'running', attempt = ?, due = ?, started_at = coalesce(started_at, ?)
             WHERE id = ? AND state = 'queued'",
            values![attempt, until, now, id],
        )
    }

    /// When the first run of a job began.
    pub(super) fn started_at(&self, id: &EventId) -> Result<Option<Timestamp>, SqlError> {
        let row =
            self.sql.first::<(Option<Timestamp>,)>("SELECT started_at FROM job WHERE id = ?", values![id])?;
        Ok(row.and_then(|(started_at,)| started_at))
    }

    /// The job of a lease; `None` if the lease has ended.
    pub(super) fn leased(&self, id: &EventId, attempt: u32) -> Result<Option<JobRow>, SqlError> {
        Ok(self.find(id)?.filter(|job| job.state == JobState::Running && job.attempt == attempt))
    }

    /// Leases a schedule or hook.
    pub(super) fn lease_own(&self, lease: Lease, until: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO own_run (run, attempt, due) VALUES (?, ?, ?)
             ON CONFLICT (run) DO UPDATE SET attempt = excluded.attempt, due = excluded.due",
            values![&own_name(lease.run), lease.attempt, until],
        )
    }

    /// Ends the lease of a schedule or hook. Returns whether it was still active.
    pub(super) fn end_own(&self, lease: Lease) -> Result<bool, SqlError> {
        let ended = self.sql.first::<(u32,)>(
            "DELETE FROM own_run WHERE run = ? AND attempt = ? RETURNING attempt",
            values![&own_name(lease.run), lease.attempt],
        )?;
        Ok(ended.is_some())
    }

    /// All active leases.
    pub(super) fn leases(&self) -> Result<Vec<Lease>, SqlError> {
        let mut leases = self.job_leases("SELECT id, attempt FROM job WHERE state = 'running'", &[])?;
        leases.extend(self.own_leases("SELECT run, attempt FROM own_run", &[])?);
        Ok(leases)
    }

    /// Leases past their deadline.
    pub(super) fn expired(&self, now: Timestamp) -> Result<Vec<Lease>, SqlError> {
        let jobs = "SELECT id, attempt FROM job WHERE state = 'running' AND due <= ?";
        let mut leases = self.job_leases(jobs, values![now])?;
        leases.extend(self.own_leases("SELECT run, attempt FROM own_run WHERE due <= ?", values![now])?);
        Ok(leases)
    }

    /// Puts a running job back into the queue.
    pub(super) fn requeue(&self, id: &EventId, due: Timestamp) -> Result<(), SqlError> {
        self.sql.execute(
            "UPDATE job SET state = 'queued', due = ? WHERE id = ? AND state = 'running'",
            values![due, id],
        )
    }

    /// Ends all leases, since the process that held them is gone.
    pub(super) fn interrupt_all(&self, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM own_run", &[])?;
        self.sql.execute("UPDATE job SET state = 'queued', due = ? WHERE state = 'running'", values![now])
    }

    fn job_leases(&self, statement: &str, values: &[Value<'_>]) -> Result<Vec<Lease>, SqlError> {
        let rows = self.sql.rows::<(EventId, u32)>(statement, values)?;
        Ok(rows.into_iter().map(|(job, attempt)| Lease { run: RunId::Job(job), attempt }).collect())
    }

    fn own_leases(&self, statement: &str, values: &[Value<'_>]) -> Result<Vec<Lease>, SqlError> {
        let rows = self.sql.rows::<(String, u32)>(statement, values)?;
        let lease = |(name, attempt): (String, u32)| Some(Lease { run: own_run(&name)?, attempt });
        Ok(rows.into_iter().filter_map(lease).collect())
    }

    fn one(&self, statement: &str, values: &[Value<'_>]) -> Result<Option<JobRow>, SqlError> {
        self.sql.first::<JobRow>(statement, values)
    }
}

fn check_step(from: JobState, to: JobState) -> Result<(), SqlError> {
    if from.may_become(to) {
        return Ok(());
    }
    Err(SqlError::Statement(format!("a job cannot go from {from} to {to}")))
}

/// The database's name for the run of a schedule, route or hook.
fn own_name(run: RunId) -> String {
    match run {
        RunId::Job(id) => id.to_hex(),
        RunId::Schedule(index) => format!("schedule {index}"),
        RunId::Scheduled(number) => format!("once {number}"),
        RunId::Route(ticket) => format!("route {ticket}"),
        RunId::Event(number) => format!("event {number}"),
        RunId::Hook(hook) => hook.as_str().to_owned(),
    }
}

fn own_run(name: &str) -> Option<RunId> {
    match name.split_once(' ') {
        Some(("once", number)) => number.parse().ok().map(RunId::Scheduled),
        Some(("route", ticket)) => ticket.parse().ok().map(RunId::Route),
        Some(("event", number)) => number.parse().ok().map(RunId::Event),
        Some((_, index)) => index.parse().ok().map(RunId::Schedule),
        None => Hook::ALL.into_iter().find(|hook| hook.as_str() == name).map(RunId::Hook),
    }
}

impl FromRow for JobRow {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        let state = row.column::<&str>(3)?.parse::<JobState>();
        Ok(Self {
            id: row.column(0)?,
            kind: row.column(1)?,
            customer: row.column(2)?,
            state: state.map_err(|error| SqlError::Statement(error.to_string()))?,
            attempt: row.column(4)?,
            price: row.column::<Option<u64>>(5)?.map(Price::msat),
            deadline: row.column(6)?,
            source: row.column(7)?,
            received_at: row.column(8)?,
        })
    }
}
