//! Removal of expired events (NIP-40) and of events whose authors vanished (NIP-62).

use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::{RETRY_AFTER_FAILURE, ShardEngine};
use crate::engine::Effect;
use crate::store::Store;

/// How many events are removed at a time, so that a Durable Object is not busy for long.
const MAX_REMOVED_PER_STEP: u32 = 500;

/// How long expired events may remain stored, so that removals can be combined.
const REMOVAL_DELAY: Duration = Duration::from_secs(60);

/// When the next removal is due: immediately for authors who vanished, as the law may demand.
pub(super) fn next<S: Sql>(store: &Store<S>) -> Result<Option<Timestamp>, SqlError> {
    if store.has_to_sweep()? {
        return Ok(Some(Timestamp::EPOCH));
    }
    Ok(store.next_expiry()?.map(|expiry| expiry + REMOVAL_DELAY))
}

impl<S: Sql> ShardEngine<S> {
    /// Schedules the removal of an event that was just stored and will expire.
    pub(super) fn schedule_removal(&mut self, expiry: Timestamp) {
        let due = expiry + REMOVAL_DELAY;
        self.next_removal = Some(self.next_removal.map_or(due, |next| next.min(due)));
    }

    /// Removes some of the events that are due for removal.
    pub(super) fn remove_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.next_removal.is_none_or(|due| now < due) {
            return;
        }
        let removed = self.store.sweep(MAX_REMOVED_PER_STEP).and_then(|swept| {
            self.store.remove_expired(now, MAX_REMOVED_PER_STEP.saturating_sub(swept))?;
            next(&self.store)
        });
        self.next_removal = removed.unwrap_or_else(|error| {
            effects.push(Effect::Failed(error));
            Some(now + RETRY_AFTER_FAILURE)
        });
    }
}
