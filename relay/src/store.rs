//! The event store in SQL: each event is stored once, as the JSON that is sent, and is found by any field of a filter.

mod admin;
mod handover;
mod handover_batch;
mod read;
mod row_batch;
mod row_key;
mod schema;
mod search_index;
mod sessions;
mod statement;
mod viewer;
mod write;

#[cfg(test)]
pub(crate) mod tests;

use openagents_host::EventId;
use openagents_host::sql::{SchemaError, Sql, SqlError, values};

pub use self::admin::{Inconsistency, IntegrityProgress, StoreStatistics};
pub use self::read::{Coverage, Scan};
pub use self::viewer::Viewer;
pub use self::write::{Insertion, Precheck, VANISH, expiry};

use crate::retention::RetentionRules;

/// The relay's database.
#[derive(Clone, Debug)]
pub struct Store<S> {
    sql: S,
    retention: RetentionRules,
}

impl<S: Sql> Store<S> {
    /// Opens the store: creates its tables, or migrates them.
    ///
    /// # Errors
    /// When the tables were written by a later release, differ from the expected ones, or cannot be created.
    pub fn open(sql: S) -> Result<Self, SchemaError> {
        schema::migrate(&sql)?;
        search_index::migrate(&sql)?;
        Ok(Self { sql, retention: RetentionRules::none() })
    }

    /// For reading: the store in a database that another connection has [opened](Self::open).
    pub const fn for_reading(sql: S) -> Self {
        Self { sql, retention: RetentionRules::none() }
    }

    /// Keeps events that are stored from now on as long as these rules say. Events already stored keep their expiry.
    #[must_use]
    pub fn with_retention(self, retention: RetentionRules) -> Self {
        Self { retention, ..self }
    }

    /// How long events of which kinds are kept.
    pub const fn retention(&self) -> &RetentionRules {
        &self.retention
    }

    /// The database.
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// Whether an event is stored.
    ///
    /// # Errors
    /// When the database fails.
    pub fn contains(&self, id: &EventId) -> Result<bool, SqlError> {
        let found: Option<(u64,)> = self.sql.first("SELECT seq FROM event WHERE id = ?", values![id])?;
        Ok(found.is_some())
    }
}
