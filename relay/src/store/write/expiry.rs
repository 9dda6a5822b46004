//! Expiry of events: by their own tag (NIP-40), or by the operator's retention rules. Expired events are hidden at
//! once and deleted by the alarm.

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{Event, Timestamp};

use super::precheck::expires_at;
use crate::store::Store;

/// When an event expires by its own tag (NIP-40).
#[must_use]
pub fn expiry(event: &Event) -> Option<Timestamp> {
    expires_at(event).map(Timestamp::from_seconds)
}

impl<S: Sql> Store<S> {
    /// When an event that is stored now expires, by its own tag or by the retention rules.
    pub(crate) fn end(&self, now: Timestamp, event: &Event) -> Option<Timestamp> {
        self.ends_at(now, event).map(Timestamp::from_seconds)
    }

    /// The same in Unix seconds.
    pub(in crate::store) fn ends_at(&self, now: Timestamp, event: &Event) -> Option<u64> {
        let ends = [expires_at(event), self.retention.until(now, event.kind)];
        ends.into_iter().flatten().min()
    }

    /// When the next stored event expires, which may be in the past.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next_expiry(&self) -> Result<Option<Timestamp>, SqlError> {
        let earliest: Option<(Option<u64>,)> =
            self.sql.first("SELECT min(expires_at) FROM event WHERE expires_at IS NOT NULL", &[])?;
        Ok(earliest.and_then(|(second,)| second).map(Timestamp::from_seconds))
    }

    /// Removes expired events, at most `at_most` and a few megabytes of them; returns how many.
    ///
    /// # Errors
    /// When the database fails. Nothing has changed then.
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
