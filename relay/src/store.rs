//! The event store in SQL: each event once, as the JSON it is sent as, found by every field of a filter.

mod admin;
mod handover;
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

pub use self::admin::{Disagreement, IntegrityProgress, StoreStatistics};
pub use self::read::{Coverage, StoredCount};
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
    /// Opens the store; makes its tables or brings them up to date.
    ///
    /// # Errors
    /// When the tables are of a later release, are others than this one's, or cannot be made.
    pub fn open(sql: S) -> Result<Self, SchemaError> {
        schema::migrate(&sql)?;
        search_index::migrate(&sql)?;
        Ok(Self { sql, retention: RetentionRules::none() })
    }

    /// The store in a database that was [opened](Self::open) on another connection: for reading.
    pub const fn beside(sql: S) -> Self {
        Self { sql, retention: RetentionRules::none() }
    }

    /// Keeps what is stored from now on for as long as these rules say. What is there already stays as long as it was
    /// to.
    #[must_use]
    pub fn with_retention(self, retention: RetentionRules) -> Self {
        Self { retention, ..self }
    }

    /// How long events of certain kinds are kept.
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
