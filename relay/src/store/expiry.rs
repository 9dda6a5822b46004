//! Events with an end (NIP-40). Once expired they are not found any more; that they go is the alarm's work.

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{Event, Timestamp};

use super::Store;
use super::standing::expires_at;

/// When an event expires, if it does.
#[must_use]
pub fn expiry(event: &Event) -> Option<Timestamp> {
    expires_at(event).map(Timestamp::from_seconds)
}

impl<S: Sql> Store<S> {
    /// When the next stored event expires. It may be past.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next_expiry(&self) -> Result<Option<Timestamp>, SqlError> {
        let earliest: Option<(Option<u64>,)> =
            self.sql.first("SELECT min(expires_at) FROM event WHERE expires_at IS NOT NULL", &[])?;
        Ok(earliest.and_then(|(second,)| second).map(Timestamp::from_seconds))
    }

    /// Removes events that are expired, at most so many and only a few megabytes of them, and says how many.
    ///
    /// # Errors
    /// When the database fails. Then nothing has changed.
    pub fn remove_expired(&self, now: Timestamp, at_most: u32) -> Result<u32, SqlError> {
        self.sql.transaction(|| {
            let erased = self.erase_some(
                "SELECT seq, json FROM event INDEXED BY event_by_expiry
                 WHERE expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?",
                values![now.as_seconds(), at_most],
            )?;
            Ok(erased.events)
        })
    }
}
