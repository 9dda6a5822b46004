//! The `state` table: the agent's struct as JSON, committed with the run that changed it.

use openagents_host::sql::values;
use openagents_host::{Sql, SqlError, Timestamp};

use super::vocabulary::StateSnapshot;

pub(crate) struct StateStore<S> {
    sql: S,
    /// The agent's current `state_version`.
    form: u32,
    current: StateSnapshot,
    /// The state that becomes current when the open transaction commits.
    pending: Option<StateSnapshot>,
}

impl<S: Sql> StateStore<S> {
    pub(super) fn open(sql: S, form: u32) -> Result<Self, SqlError> {
        Ok(Self { current: load(&sql)?, form, pending: None, sql })
    }

    pub(crate) fn snapshot(&self) -> StateSnapshot {
        self.current.clone()
    }

    /// Stores a new state, within the transaction of the run that made it.
    pub(super) fn store(&mut self, json: &str, now: Timestamp) -> Result<(), SqlError> {
        self.write(json, self.form, now)
    }

    fn write(&mut self, json: &str, form: u32, now: Timestamp) -> Result<(), SqlError> {
        let version = self.current.version.saturating_add(1);
        self.sql.execute(
            "INSERT INTO state (one, json, version, stored_at, form) VALUES (1, ?, ?, ?, ?)
             ON CONFLICT (one) DO UPDATE SET json = excluded.json, version = excluded.version,
                 stored_at = excluded.stored_at, form = excluded.form",
            values![json, version, now, form],
        )?;
        self.pending = Some(StateSnapshot { version, form, json: Some(json.into()) });
        Ok(())
    }

    /// Replaces the state by one that has this form, or by none, so that the agent starts with its default.
    /// [`committed`](Self::committed) makes it the current one.
    pub(crate) fn replace(&mut self, state: Option<(u32, &str)>, now: Timestamp) -> Result<(), SqlError> {
        match state {
            Some((form, json)) => self.write(json, form, now)?,
            None => {
                self.sql.execute("DELETE FROM state", &[])?;
                self.pending = Some(StateSnapshot::default());
            }
        }
        Ok(())
    }

    /// The transaction was committed.
    pub(crate) fn committed(&mut self) {
        if let Some(next) = self.pending.take() {
            self.current = next;
        }
    }

    /// The transaction was rolled back.
    pub(super) fn rolled_back(&mut self) -> Result<(), SqlError> {
        self.pending = None;
        self.current = load(&self.sql)?;
        Ok(())
    }
}

fn load<S: Sql>(sql: &S) -> Result<StateSnapshot, SqlError> {
    let row = sql.first::<(u64, u32, String)>("SELECT version, form, json FROM state", &[])?;
    Ok(row.map_or_else(StateSnapshot::default, |(version, form, json)| StateSnapshot {
        version,
        form,
        json: Some(json.into()),
    }))
}
