//! Expiry of events: by their own tag (NIP-40), or by the operator's retention rules. Expired events are not found; the
//! alarm deletes them.

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{Event, Timestamp};

use super::precheck::expires_at;
use crate::store::Store;

/// When an event expires, if it does.
#[must_use]
pub fn expiry(event: &Event) -> Option<Timestamp> {
    expires_at(event).map(Timestamp::from_seconds)
}

impl<S: Sql> Store<S> {
    /// When an event that is stored now ends, by what it says itself or by how long its kind is kept.
    pub(crate) fn end(&self, now: Timestamp, event: &Event) -> Option<Timestamp> {
        self.ends_at(now, event).map(Timestamp::from_seconds)
    }

    /// The second of that.
    pub(in crate::store) fn ends_at(&self, now: Timestamp, event: &Event) -> Option<u64> {
        let ends = [expires_at(event), self.retention.until(now, event.kind)];
        ends.into_iter().flatten().min()
    }

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
