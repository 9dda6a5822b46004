//! State queries: what handlers and HTTP routes read from the agent's database.

mod own_sql;
mod payments;
mod reply;
mod schedules;

use std::ops::ControlFlow;

use openagents_host::nostr::keys::npub;
use openagents_host::sql::{Row, Value as SqlValue, values};
use openagents_host::{BlobHash, EventId, Kind, PublicKey, Sql, SqlError, Timestamp};
use openagents_relay::management::Token;
use serde_json::Value;

use super::job_state::{JobState, UnknownState};
use super::jobs::ANSWER;
use super::state_change::StateChange;
use super::{ClientAdmission, CountedRequest, JobEngine, UnprocessedRequest};
use crate::audit::AuditRecord;

#[cfg(test)]
pub(crate) use reply::PaymentTotal;
pub(crate) use reply::{
    AgentMetrics, EndedJobs, JobDetails, JobSummary, ManualRun, MemoryKey, MemoryValue, PaymentMovement,
    ScheduleSummary, SessionSummary, SessionTurn, StateReply, Workload,
};

/// The most rows in a reply.
const MAX_ROWS: usize = 1_000;

/// A query of the agent's database. Each variant names the [`StateReply`] it gets.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StateQuery {
    /// The value under a key, or null: a [`Value`].
    Memory { key: String },
    /// The keys that begin with a prefix, in ascending order: strings.
    MemoryKeys { prefix: String, limit: usize },
    /// A statement on the author's own tables: rows of columns.
    Sql { statement: String, values: Vec<Value> },
    /// The last turns of a conversation, oldest first: [`SessionTurn`]s.
    Turns { customer: PublicKey, limit: usize },
    /// The customers with a conversation, most recent first: [`SessionSummary`]s.
    Sessions { limit: usize },
    /// The jobs that arrived before this one, newest first: [`JobSummary`]s.
    History { before: Option<u64>, limit: usize },
    /// One job with its request and answer: [`JobDetails`], if it exists.
    Job { id: EventId },
    /// Numbers of finished and unfinished jobs: [`AgentMetrics`].
    Metrics,
    /// The amount of unfinished work, which is known without reading the database: a [`Workload`].
    Load,
    /// The value under a key and when it was written: a [`MemoryValue`], if it exists.
    MemoryEntry { key: String },
    /// The keys that begin with a prefix and follow `after`, in ascending order: [`MemoryKey`]s.
    MemoryEntries { prefix: String, after: String, limit: usize },
    /// The agent's struct, or null if none is stored: a [`Value`].
    State,
    /// The schedules and the scheduled runs, those that are due first at the beginning: [`ScheduleSummary`]s.
    Schedules { limit: usize },
    /// The rows of the ledger before this one, newest first: [`PaymentMovement`]s.
    Payments { before: Option<u64>, limit: usize },
    /// Makes a schedule due now, or the scheduled run with this key; an operator authorizes it by `token`: a
    /// [`ManualRun`].
    RunSchedule { name: String, key: String, token: Option<Token> },
    /// Changes the stored state; an operator authorizes it by `token`: a [`ManualStateChange`].
    ChangeState { change: StateChange, token: Token },
    /// Whether an unfinished job of this customer names this blob: a boolean.
    ExpectsBlob { customer: PublicKey, hash: BlobHash },
    /// Makes the jobs due that wait for this blob, which was uploaded: `true`.
    BlobArrived { hash: BlobHash },
    /// Counts a request to the gateway: a [`ClientAdmission`](super::ClientAdmission).
    CountRequest(CountedRequest),
    /// Keeps a record of the gateway's audit until it can be stored: whether there is room for it.
    KeepAuditRecord(AuditRecord),
}

impl StateQuery {
    /// Whether the agent may have something to do after this query.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        allow(dead_code, reason = "an engine's thread notices by itself")
    )]
    pub(crate) fn makes_work(&self) -> bool {
        matches!(
            self,
            Self::RunSchedule { .. }
                | Self::ChangeState { .. }
                | Self::BlobArrived { .. }
                | Self::KeepAuditRecord(_)
        )
    }
}

/// The columns of the `job` table that a [`JobSummary`] shows.
const JOB: &str =
    "seq, id, kind, customer, state, attempt, price, source, received_at, started_at, finished_at";

impl<S: Sql> JobEngine<S> {
    pub(super) fn answer(&mut self, now: Timestamp, query: &StateQuery) -> Result<StateReply, SqlError> {
        Ok(match query {
            StateQuery::Memory { key } => {
                let row =
                    self.sql.first::<(String,)>("SELECT json FROM memory WHERE key = ?", values![key])?;
                StateReply::Json(row.map_or(Ok(Value::Null), |(json,)| parse(&json))?)
            }
            StateQuery::MemoryKeys { prefix, limit } => StateReply::Keys(self.memory_keys(prefix, *limit)?),
            StateQuery::Sql { statement, values } => {
                StateReply::Rows(own_sql::run(&self.sql, statement, values)?)
            }
            StateQuery::Turns { customer, limit } => StateReply::Turns(self.turns(customer, *limit)?),
            StateQuery::Sessions { limit } => StateReply::Sessions(self.sessions(*limit)?),
            StateQuery::History { before, limit } => StateReply::History(self.history(*before, *limit)?),
            StateQuery::Job { id } => StateReply::Job(self.job(id)?),
            StateQuery::Metrics => StateReply::Metrics(self.metrics()?),
            StateQuery::Load => StateReply::Load(self.workload()),
            StateQuery::MemoryEntry { key } => StateReply::MemoryValue(self.memory_value(key)?),
            StateQuery::MemoryEntries { prefix, after, limit } => {
                StateReply::MemoryKeys(self.memory_entries(prefix, after, *limit)?)
            }
            StateQuery::State => {
                StateReply::Json(self.state.snapshot().json.map_or(Ok(Value::Null), |json| parse(&json))?)
            }
            StateQuery::Schedules { limit } => {
                StateReply::Schedules(self.schedule_list((*limit).min(MAX_ROWS))?)
            }
            StateQuery::Payments { before, limit } => StateReply::Payments(self.payments(*before, *limit)?),
            StateQuery::ChangeState { change, token } => {
                StateReply::StateChanged(self.change_by_hand(now, token, change)?)
            }
            StateQuery::RunSchedule { name, key, token } => {
                StateReply::ManualRun(self.run_by_hand(now, token.as_ref(), name, key)?)
            }
            StateQuery::ExpectsBlob { customer, hash } => {
                StateReply::Answer(self.expects_blob(customer, hash)?)
            }
            StateQuery::BlobArrived { hash } => {
                self.blob_arrived(now, hash)?;
                StateReply::Answer(true)
            }
            StateQuery::CountRequest(request) => StateReply::Admission(self.count_request(now, request)?),
            StateQuery::KeepAuditRecord(record) => StateReply::Answer(self.audit.keep(now, record)?),
        })
    }

    /// Counts a request to the gateway, and for the audit those that are not processed.
    fn count_request(
        &mut self,
        now: Timestamp,
        request: &CountedRequest,
    ) -> Result<ClientAdmission, SqlError> {
        let admission = match request.per_minute {
            Some(per_minute) => self.client_rates.admit(now, &request.client, per_minute)?,
            None => ClientAdmission::Admitted,
        };
        match admission {
            ClientAdmission::Refused { .. } => self.audit.count(now, UnprocessedRequest::RateLimited)?,
            ClientAdmission::Admitted if !request.is_well_formed => {
                self.audit.count(now, UnprocessedRequest::Malformed)?;
            }
            ClientAdmission::Admitted => {}
        }
        Ok(admission)
    }

    fn memory_keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, SqlError> {
        let mut keys = Vec::new();
        let limit = limit.min(MAX_ROWS);
        self.sql.query(
            "SELECT key FROM memory WHERE key >= ? ORDER BY key LIMIT ?",
            values![prefix, limit],
            &mut |row| {
                let key: &str = row.column(0)?;
                if !key.starts_with(prefix) {
                    return Ok(ControlFlow::Break(()));
                }
                keys.push(key.to_owned());
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(keys)
    }

    fn memory_value(&self, key: &str) -> Result<Option<MemoryValue>, SqlError> {
        let row = self.sql.first::<(String, Timestamp)>(
            "SELECT json, written_at FROM memory WHERE key = ?",
            values![key],
        )?;
        row.map(|(json, written_at)| {
            Ok(MemoryValue { key: key.to_owned(), value: parse(&json)?, written_at })
        })
        .transpose()
    }

    fn memory_entries(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<MemoryKey>, SqlError> {
        let mut entries = Vec::new();
        // An empty `after` starts at the first key.
        let statement = "SELECT key, length(json), written_at FROM memory \
                         WHERE key >= ? AND (key > ? OR ? = '') ORDER BY key LIMIT ?";
        self.sql.query(statement, values![prefix, after, after, limit.min(MAX_ROWS)], &mut |row| {
            let key: &str = row.column(0)?;
            if !key.starts_with(prefix) {
                return Ok(ControlFlow::Break(()));
            }
            entries.push(MemoryKey {
                key: key.to_owned(),
                characters: row.column(1)?,
                written_at: row.column(2)?,
            });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(entries)
    }

    fn turns(&self, customer: &PublicKey, limit: usize) -> Result<Vec<SessionTurn>, SqlError> {
        let turns = self.sql.rows::<(String, String, Timestamp)>(
            "SELECT role, text, said_at FROM turn WHERE customer = ? ORDER BY number DESC LIMIT ?",
            values![customer, limit.min(MAX_ROWS)],
        )?;
        let turns = turns.into_iter().rev();
        Ok(turns.map(|(role, text, said_at)| SessionTurn { role, text, said_at }).collect())
    }

    fn sessions(&self, limit: usize) -> Result<Vec<SessionSummary>, SqlError> {
        let sessions = self.sql.rows::<(PublicKey, u64, Timestamp)>(
            "SELECT customer, count(*), max(said_at) FROM turn GROUP BY customer ORDER BY max(said_at) DESC LIMIT ?",
            values![limit.min(MAX_ROWS)],
        )?;
        Ok(sessions
            .into_iter()
            .map(|(customer, turns, last_at)| SessionSummary {
                customer,
                npub: npub(&customer),
                turns,
                last_at,
            })
            .collect())
    }

    fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<JobSummary>, SqlError> {
        let mut jobs = Vec::new();
        // The largest integer that every host can bind: 2^53 - 1.
        let before = before.unwrap_or(u64::MAX).min(u64::MAX >> 11);
        self.sql.query(
            &format!("SELECT {JOB} FROM job WHERE seq < ? ORDER BY seq DESC LIMIT ?"),
            values![before, limit.min(MAX_ROWS)],
            &mut |row| {
                jobs.push(job_of(row)?);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(jobs)
    }

    fn job(&self, id: &EventId) -> Result<Option<JobDetails>, SqlError> {
        let mut found = None;
        self.sql.query(
            &format!("SELECT {JOB}, request, {ANSWER} FROM job WHERE id = ?"),
            values![id],
            &mut |row| {
                let event = |column| {
                    let json: Option<&str> = row.column(column)?;
                    json.filter(|json| !json.is_empty()).map_or(Ok(Value::Null), parse)
                };
                found = Some(JobDetails { summary: job_of(row)?, request: event(11)?, answer: event(12)? });
                Ok(ControlFlow::Break(()))
            },
        )?;
        Ok(found)
    }

    fn metrics(&self) -> Result<AgentMetrics, SqlError> {
        let rows = self.sql.rows::<(Kind, String, u64, u64, u64)>(
            "SELECT kind, state, jobs, elapsed, msat FROM metric ORDER BY kind, state",
            &[],
        )?;
        let mut ended = Vec::new();
        for (kind, state, jobs, elapsed_ms, msat) in rows {
            ended.push(EndedJobs { kind, state: state_of(&state)?, jobs, elapsed_ms, msat });
        }
        let outbox = self.sql.first::<(u64,)>("SELECT count(*) FROM outbox", &[])?;
        let Workload { unfinished, running } = self.workload();
        let outbox = outbox.map_or(0, |(count,)| count);
        Ok(AgentMetrics { ended, unfinished, running, outbox, payments: self.payment_totals()? })
    }

    fn workload(&self) -> Workload {
        Workload { unfinished: self.unfinished.total(), running: self.running.len() }
    }
}

fn job_of(row: &Row<'_>) -> Result<JobSummary, SqlError> {
    Ok(JobSummary {
        seq: row.column(0)?,
        id: row.column(1)?,
        kind: row.column(2)?,
        customer: row.column(3)?,
        state: state_of(row.column(4)?)?,
        attempt: row.column(5)?,
        price_msat: row.column(6)?,
        source: row.column(7)?,
        received_at: row.column(8)?,
        started_at: row.column(9)?,
        finished_at: row.column(10)?,
    })
}

fn state_of(word: &str) -> Result<JobState, SqlError> {
    word.parse().map_err(|error: UnknownState| SqlError::Statement(error.to_string()))
}

fn parse(json: &str) -> Result<Value, SqlError> {
    serde_json::from_str(json)
        .map_err(|error| SqlError::Statement(format!("damaged JSON in the database: {error}")))
}

/// A JSON value as an SQL value.
fn bound(value: &Value) -> Result<SqlValue<'_>, SqlError> {
    Ok(match value {
        Value::Null => SqlValue::Null,
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => SqlValue::Integer(integer),
            (None, Some(real)) => SqlValue::Real(real),
            (None, None) => {
                return Err(SqlError::Statement(format!("{number} cannot be stored in the database")));
            }
        },
        Value::String(text) => SqlValue::Text(text),
        Value::Array(_) | Value::Object(_) => {
            return Err(SqlError::Statement(
                "the values of a statement must be numbers, strings, booleans or null; store a list as JSON text"
                    .to_owned(),
            ));
        }
    })
}
