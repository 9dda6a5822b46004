//! When events are added to the full-text index (NIP-50).

use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::{RETRY_AFTER_FAILURE, ShardEngine};
use crate::engine::Effect;
use crate::store::Store;
use openagents_host::nostr::filter::Filter;

/// How many events are taken into the index of words at a time: a few tens of milliseconds.
const EVENTS_PER_STEP: u32 = 500;

/// After how many new events it is looked whether it is time for that.
const DUE_AFTER_EVENTS: u32 = 1_000;

/// That waits for a lull: for so long, and again for so long while more than [`DUE_AFTER_EVENTS`] events come in that
/// time.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// When so many events wait, it waits no longer.
const MAX_EVENTS_WAITING: u32 = 50_000;

/// What of the index of words is to be done.
#[derive(Debug, Default)]
pub(super) struct IndexSchedule {
    /// The events that have come since the index was extended last, and those of them that had when it was put off.
    new: u32,
    before: u32,
    pub(super) due: Option<Timestamp>,
}

impl IndexSchedule {
    fn put_off(&mut self, now: Timestamp) {
        self.before = self.new;
        self.due = Some(now + QUIET_TIME);
    }

    /// Whether so many events are coming that the index can wait.
    const fn is_busy(&self) -> bool {
        self.new.saturating_sub(self.before) > DUE_AFTER_EVENTS && self.new < MAX_EVENTS_WAITING
    }

    /// What may be to do for a store that was just opened: if something is, it is due.
    pub(super) fn of<S: Sql>(store: &Store<S>) -> Result<Self, SqlError> {
        let due = store.is_index_behind(Timestamp::from_millis(u64::MAX))?.then_some(Timestamp::EPOCH);
        Ok(Self { due, ..Self::default() })
    }
}

impl<S: Sql> ShardEngine<S> {
    /// Takes what came since into the index before a search, or some of it, and the rest soon.
    pub(in crate::engine) fn prepare_search(
        &mut self,
        now: Timestamp,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) {
        if filters.iter().any(|filter| filter.search.is_some()) {
            self.extend_index(now, effects);
        }
    }

    /// Notes that an event was stored.
    pub(in crate::engine) fn index_later(&mut self, now: Timestamp) {
        self.index_schedule.new = self.index_schedule.new.saturating_add(1);
        if self.index_schedule.new >= DUE_AFTER_EVENTS && self.index_schedule.due.is_none() {
            self.index_schedule.put_off(now);
        }
    }

    /// Does the indexing that is due, unless there is more urgent work.
    pub(super) fn index_if_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.index_schedule.due.is_none_or(|due| due > now) {
            return;
        }
        if self.index_schedule.is_busy() {
            self.index_schedule.put_off(now);
        } else {
            self.extend_index(now, effects);
        }
    }

    fn extend_index(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_more = self
            .store
            .is_index_behind(now)
            .and_then(|is_behind| Ok(is_behind && self.store.extend_index(now, EVENTS_PER_STEP)?));
        self.index_schedule.due = match is_more {
            Ok(true) => Some(now),
            Ok(false) => {
                self.index_schedule = IndexSchedule::default();
                None
            }
            Err(error) => {
                effects.push(Effect::Failed(error));
                Some(now + RETRY_AFTER_FAILURE)
            }
        };
    }
}
