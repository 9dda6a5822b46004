//! `Memory` (values by key, tables of the author's own) and `Session` (the conversation with a customer).

use openagents_host::PublicKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context::AgentContext;
use crate::engine::{NewTurn, SessionTurn, StateQuery, Turn};
use crate::error::JobError;

/// The most that one value may take, in bytes of JSON.
const MAX_VALUE_BYTES: usize = 1_000_000;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 512;

impl AgentContext {
    /// What the agent keeps under names of its own.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory::new(self.clone())
    }
}

/// Values under keys: for what is too much, or too seldom needed, for a field of the agent's struct.
///
/// A run reads what is committed and what it wrote itself; what it wrote is committed together with its outcome, and not at
/// all when it fails. Runs beside each other do not see each other's changes before, and the last one wins: what must be
/// counted belongs in a field of an exclusive handler.
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
            return Err(JobError::failed("the agent tried to remember too much").caused_by(format!(
                "a value in memory has at most {MAX_VALUE_BYTES} bytes of JSON and a key of at most {MAX_KEY_BYTES} bytes; \
                 `{key}` has {} and {}",
                json.len(),
                key.len()
            )));
        }
        self.0.changes().memory.insert(key.to_owned(), Some(json));
        Ok(())
    }

    /// Removes what is under a key.
    pub fn remove(&self, key: &str) {
        self.0.changes().memory.insert(key.to_owned(), None);
    }

    /// The keys that begin with `prefix`, in order, `limit` at most.
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
        // Some of the ones that are kept may be removed by this run.
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

    /// Runs a statement on the agent's own tables, which live in its database beside the SDK's, and gives its rows: lists of
    /// numbers, texts and nulls. It takes effect at once, whatever becomes of this run.
    ///
    /// Tables of one's own have names that begin with `my_`; other tables cannot be named.
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
    /// When the statement fails, or names a table that does not begin with `my_`.
    pub async fn sql(&self, statement: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, JobError> {
        let query = StateQuery::Sql { statement: statement.to_owned(), values: values.to_vec() };
        Ok(self.0.host().query_state(query).await?.try_into()?)
    }
}

/// The conversation with one customer, over all their jobs.
///
/// It is kept to its last 200 turns; each is cut at 16,000 bytes. Like memory, what is said is committed with the run's
/// outcome.
#[derive(Clone, Debug)]
pub struct Session {
    context: AgentContext,
    customer: PublicKey,
}

impl Session {
    pub(crate) fn new(context: AgentContext, customer: PublicKey) -> Self {
        Self { context, customer }
    }

    /// The last turns, oldest first, `limit` at most, with those of this run.
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

    /// Adds a turn.
    pub fn say(&self, role: impl Into<String>, text: impl Into<String>) {
        let turn = Turn { role: role.into(), text: text.into() };
        self.context.changes().turns.push(NewTurn { customer: self.customer, turn });
    }
}
