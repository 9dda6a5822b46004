//! `Memory` (values by key, and the author's own SQL tables) and `Session` (the conversation with a customer).

use openagents_host::PublicKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::AgentContext;
use crate::engine::{NewTurn, SessionTurn, StateQuery, Turn};
use crate::error::JobError;

/// The longest value, in bytes of JSON.
const MAX_VALUE_BYTES: usize = 1_000_000;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 512;

impl AgentContext {
    /// The agent's key-value store and SQL tables.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory::new(self.clone())
    }
}

/// A key-value store, for data that is too large or too rarely needed to be a field of the agent's struct.
///
/// A run sees what is committed and what it wrote itself. Its changes are committed together with its outcome, and
/// dropped if it fails. Concurrent runs do not see each other's uncommitted changes, and the last to commit wins; so
/// counters belong in a field that an exclusive handler changes.
///
/// Let the keys of what you remember about a customer begin with the customer's public key in hex: these values are
/// deleted when the customer requests to vanish (NIP-62).
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # async fn handler(context: JobContext) -> JobResult<String> {
/// let memory = context.memory();
/// let asked: u64 = memory.read("asked").await?.unwrap_or_default();
/// memory.write("asked", &(asked + 1))?;
/// # Ok(String::new())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Memory(AgentContext);

impl Memory {
    pub(crate) fn new(context: AgentContext) -> Self {
        Self(context)
    }

    /// The value under a key, if there is one.
    ///
    /// # Errors
    /// When the database fails, or the value is not a `T`.
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, JobError> {
        let written = self.0.changes().memory.get(key).cloned();
        let Some(json) = written else {
            let found = self.0.host().query_state(StateQuery::Memory { key: key.to_owned() }).await?;
            return Ok(serde_json::from_value(Value::try_from(found)?)?);
        };
        Ok(json.as_deref().map(serde_json::from_str).transpose()?)
    }

    /// Sets the value under a key.
    ///
    /// # Errors
    /// When the key is longer than 512 bytes, or the value cannot be written as JSON of at most 1 MB.
    pub fn write<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), JobError> {
        let json = serde_json::to_string(value)?;
        if json.len() > MAX_VALUE_BYTES || key.len() > MAX_KEY_BYTES {
            return Err(JobError::failed("the agent failed to do this job").caused_by(format!(
                "a value in memory may have {MAX_VALUE_BYTES} bytes of JSON, and its key {MAX_KEY_BYTES} bytes; \
                 `{key}` has {} and {}",
                json.len(),
                key.len()
            )));
        }
        self.0.changes().memory.insert(key.to_owned(), Some(json));
        Ok(())
    }

    /// Removes the value under a key.
    pub fn remove(&self, key: &str) {
        self.0.changes().memory.insert(key.to_owned(), None);
    }

    /// The first `limit` keys that begin with `prefix`, in ascending order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, JobError> {
        let written: Vec<(String, bool)> = self
            .0
            .changes()
            .memory
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, json)| (key.clone(), json.is_some()))
            .collect();
        // This run may have removed some of the stored keys, so request more.
        let asked = limit.saturating_add(written.len());
        let query = StateQuery::MemoryKeys { prefix: prefix.to_owned(), limit: asked };
        let kept: Vec<String> = self.0.host().query_state(query).await?.try_into()?;
        let mut keys: std::collections::BTreeSet<String> = kept.into_iter().collect();
        for (key, is_there) in written {
            if is_there {
                keys.insert(key);
            } else {
                keys.remove(&key);
            }
        }
        Ok(keys.into_iter().take(limit).collect())
    }

    /// Runs a statement on the agent's own SQL tables and returns the rows: lists of numbers, strings and nulls. The
    /// statement takes effect at once, even if this run fails.
    ///
    /// The agent's database also holds the SDK's tables, so names of the author's tables begin with `my_`. A
    /// statement cannot use any other table.
    ///
    /// ```
    /// # use openagents_sdk::prelude::*;
    /// # async fn handler(context: JobContext) -> JobResult<String> {
    /// let memory = context.memory();
    /// memory.sql("CREATE TABLE IF NOT EXISTS my_words (word TEXT PRIMARY KEY, count INTEGER)", &[]).await?;
    /// let rows = memory.sql("SELECT count FROM my_words WHERE word = ?", &["moon".into()]).await?;
    /// # Ok(String::new())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the statement fails or uses a table whose name does not begin with `my_`.
    pub async fn sql(&self, statement: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, JobError> {
        let query = StateQuery::Sql { statement: statement.to_owned(), values: values.to_vec() };
        Ok(self.0.host().query_state(query).await?.try_into()?)
    }
}

/// The conversation with one customer, which spans all their jobs.
///
/// The last 200 turns are kept, each cut off at 16,000 bytes. As with memory, new turns are committed together with
/// the run's outcome.
#[derive(Clone, Debug)]
pub struct Session {
    context: AgentContext,
    customer: PublicKey,
}

impl Session {
    pub(crate) fn new(context: AgentContext, customer: PublicKey) -> Self {
        Self { context, customer }
    }

    /// The last `limit` turns, oldest first, including those that this run added.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn turns(&self, limit: usize) -> Result<Vec<Turn>, JobError> {
        let query = StateQuery::Turns { customer: self.customer, limit };
        let kept: Vec<SessionTurn> = self.context.host().query_state(query).await?.try_into()?;
        let mut turns: Vec<Turn> =
            kept.into_iter().map(|SessionTurn { role, text, .. }| Turn { role, text }).collect();
        let said = self.context.changes();
        let own = said.turns.iter().filter(|turn| turn.customer == self.customer);
        turns.extend(own.map(|turn| turn.turn.clone()));
        drop(said);
        let surplus = turns.len().saturating_sub(limit);
        Ok(turns.split_off(surplus))
    }

    /// Adds a turn. `role` is free text such as `user` or `assistant`.
    pub fn say(&self, role: impl Into<String>, text: impl Into<String>) {
        let turn = Turn { role: role.into(), text: text.into() };
        self.context.changes().turns.push(NewTurn { customer: self.customer, turn });
    }
}
