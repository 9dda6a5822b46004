//! State queries: what handlers and HTTP routes read from the agent's database, as JSON.

mod own_sql;

use std::ops::ControlFlow;

use openagents_host::keys::npub;
use openagents_host::sql::{Value as SqlValue, values};
use openagents_host::{EventId, PublicKey, Sql, SqlError, Timestamp};
use serde_json::{Value, json};

use super::JobEngine;

/// How many rows are given at most.
const MAX_ROWS: usize = 1_000;

/// A question to the agent's database. The answer is JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StateQuery {
    /// The value under a key, or null.
    Memory { key: String },
    /// The keys that begin with a prefix, in order.
    MemoryKeys { prefix: String, limit: usize },
    /// A statement on the agent's own tables; its rows.
    Sql { statement: String, values: Vec<Value> },
    /// The last turns of a conversation, oldest first.
    Turns { customer: PublicKey, limit: usize },
    /// The customers with a conversation, the last one to speak first.
    Sessions { limit: usize },
    /// The jobs before this one in the order of arrival, the newest first.
    History { before: Option<u64>, limit: usize },
    /// One job, with its request and answer; null when it is not on record.
    Job { id: EventId },
    /// What came of the jobs of each kind, and what is under way.
    Metrics,
    /// How much is under way, which is known without looking.
    Load,
    /// What is under a key, and since when; null when there is nothing.
    MemoryEntry { key: String },
    /// The keys that begin with a prefix and follow another one, in order, with how much is under them and since when.
    MemoryEntries { prefix: String, after: String, limit: usize },
    /// The agent's struct; null when none was stored.
    State,
}

/// What is on record about a job.
const JOB: &str =
    "seq, id, kind, customer, state, attempt, price, source, received_at, started_at, finished_at";

impl<S: Sql> JobEngine<S> {
    pub(super) fn answer(&self, query: &StateQuery) -> Result<Value, SqlError> {
        match query {
            StateQuery::Memory { key } => {
                let row =
                    self.sql.first::<(String,)>("SELECT json FROM memory WHERE key = ?", values![key])?;
                row.map_or(Ok(Value::Null), |(json,)| parse(&json))
            }
            StateQuery::MemoryKeys { prefix, limit } => self.memory_keys(prefix, *limit),
            StateQuery::Sql { statement, values } => own_sql::run(&self.sql, statement, values),
            StateQuery::Turns { customer, limit } => self.turns(customer, *limit),
            StateQuery::Sessions { limit } => self.sessions(*limit),
            StateQuery::History { before, limit } => self.history(*before, *limit),
            StateQuery::Job { id } => self.job(id),
            StateQuery::Metrics => self.metrics(),
            StateQuery::Load => Ok(json!({"unfinished": self.unfinished, "running": self.running.len()})),
            StateQuery::MemoryEntry { key } => self.memory_entry(key),
            StateQuery::MemoryEntries { prefix, after, limit } => self.memory_entries(prefix, after, *limit),
            StateQuery::State => self.state.snapshot().json.map_or(Ok(Value::Null), |json| parse(&json)),
        }
    }

    fn memory_keys(&self, prefix: &str, limit: usize) -> Result<Value, SqlError> {
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
                keys.push(Value::from(key));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(Value::Array(keys))
    }

    fn memory_entry(&self, key: &str) -> Result<Value, SqlError> {
        let row = self.sql.first::<(String, Timestamp)>(
            "SELECT json, written_at FROM memory WHERE key = ?",
            values![key],
        )?;
        row.map_or(Ok(Value::Null), |(json, at)| {
            Ok(json!({"key": key, "value": parse(&json)?, "written_at": at.as_millis()}))
        })
    }

    fn memory_entries(&self, prefix: &str, after: &str, limit: usize) -> Result<Value, SqlError> {
        let mut entries = Vec::new();
        // The empty key follows nothing.
        let statement = "SELECT key, length(json), written_at FROM memory \
                         WHERE key >= ? AND (key > ? OR ? = '') ORDER BY key LIMIT ?";
        self.sql.query(statement, values![prefix, after, after, limit.min(MAX_ROWS)], &mut |row| {
            let key: &str = row.column(0)?;
            if !key.starts_with(prefix) {
                return Ok(ControlFlow::Break(()));
            }
            let (length, at) = (row.column::<u64>(1)?, row.column::<Timestamp>(2)?);
            entries.push(json!({"key": key, "characters": length, "written_at": at.as_millis()}));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Value::Array(entries))
    }

    fn turns(&self, customer: &PublicKey, limit: usize) -> Result<Value, SqlError> {
        let mut turns = self.sql.rows::<(String, String, Timestamp)>(
            "SELECT role, text, said_at FROM turn WHERE customer = ? ORDER BY number DESC LIMIT ?",
            values![customer, limit.min(MAX_ROWS)],
        )?;
        turns.reverse();
        Ok(turns
            .into_iter()
            .map(|(role, text, at)| json!({"role": role, "text": text, "said_at": at.as_millis()}))
            .collect())
    }

    fn sessions(&self, limit: usize) -> Result<Value, SqlError> {
        let sessions = self.sql.rows::<(PublicKey, u64, Timestamp)>(
            "SELECT customer, count(*), max(said_at) FROM turn GROUP BY customer ORDER BY max(said_at) DESC LIMIT ?",
            values![limit.min(MAX_ROWS)],
        )?;
        Ok(sessions
            .into_iter()
            .map(|(customer, turns, last)| {
                json!({"customer": customer, "npub": npub(&customer), "turns": turns, "last_at": last.as_millis()})
            })
            .collect())
    }

    fn history(&self, before: Option<u64>, limit: usize) -> Result<Value, SqlError> {
        let mut jobs = Vec::new();
        // The largest number there can be (2^53 - 1).
        let before = before.unwrap_or(u64::MAX).min(u64::MAX >> 11);
        self.sql.query(
            &format!("SELECT {JOB} FROM job WHERE seq < ? ORDER BY seq DESC LIMIT ?"),
            values![before, limit.min(MAX_ROWS)],
            &mut |row| {
                jobs.push(job_of(row)?);
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(Value::Array(jobs))
    }

    fn job(&self, id: &EventId) -> Result<Value, SqlError> {
        let mut found = Value::Null;
        self.sql.query(
            &format!("SELECT {JOB}, request, answer FROM job WHERE id = ?"),
            values![id],
            &mut |row| {
                let mut job = job_of(row)?;
                if let Some(fields) = job.as_object_mut() {
                    fields.insert("request".to_owned(), parse(row.column(11)?)?);
                    let answer: Option<&str> = row.column(12)?;
                    let answer = answer.filter(|answer| !answer.is_empty()).map(parse).transpose()?;
                    fields.insert("answer".to_owned(), answer.unwrap_or_default());
                }
                found = job;
                Ok(ControlFlow::Break(()))
            },
        )?;
        Ok(found)
    }

    fn metrics(&self) -> Result<Value, SqlError> {
        let ended = self.sql.rows::<(u16, String, u64, u64, u64)>(
            "SELECT kind, state, jobs, elapsed, msat FROM metric ORDER BY kind, state",
            &[],
        )?;
        let ended: Vec<Value> = ended
            .into_iter()
            .map(|(kind, state, jobs, elapsed, msat)| {
                json!({"kind": kind, "state": state, "jobs": jobs, "elapsed_ms": elapsed, "msat": msat})
            })
            .collect();
        let outbox = self.sql.first::<(u64,)>("SELECT count(*) FROM outbox", &[])?;
        Ok(json!({
            "ended": ended,
            "unfinished": self.unfinished,
            "running": self.running.len(),
            "outbox": outbox.map_or(0, |(count,)| count),
        }))
    }
}

fn job_of(row: &openagents_host::sql::Row<'_>) -> Result<Value, SqlError> {
    let time = |index| Ok::<_, SqlError>(row.column::<Option<Timestamp>>(index)?.map(Timestamp::as_millis));
    Ok(json!({
        "seq": row.column::<u64>(0)?,
        "id": row.column::<EventId>(1)?,
        "kind": row.column::<u16>(2)?,
        "customer": row.column::<PublicKey>(3)?,
        "state": row.column::<&str>(4)?,
        "attempt": row.column::<u32>(5)?,
        "price_msat": row.column::<Option<u64>>(6)?,
        "source": row.column::<Option<&str>>(7)?,
        "received_at": time(8)?,
        "started_at": time(9)?,
        "finished_at": time(10)?,
    }))
}

fn parse(json: &str) -> Result<Value, SqlError> {
    serde_json::from_str(json)
        .map_err(|error| SqlError::Statement(format!("damaged JSON on record: {error}")))
}

/// A JSON value as a column takes it.
fn bound(value: &Value) -> Result<SqlValue<'_>, SqlError> {
    Ok(match value {
        Value::Null => SqlValue::Null,
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => SqlValue::Integer(integer),
            (None, Some(real)) => SqlValue::Real(real),
            (None, None) => return Err(SqlError::Statement(format!("{number} is no number for a database"))),
        },
        Value::String(text) => SqlValue::Text(text),
        Value::Array(_) | Value::Object(_) => {
            return Err(SqlError::Statement(
                "a value of a statement is a number, a text, true, false or null; write a list as JSON text"
                    .to_owned(),
            ));
        }
    })
}
