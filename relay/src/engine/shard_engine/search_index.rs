//! The schedule on which events are added to the full-text index (NIP-50).

use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::{RETRY_AFTER_FAILURE, ShardEngine};
use crate::engine::Effect;
use crate::store::Store;
use openagents_host::nostr::filter::Filter;

/// How many events are indexed at a time, which takes a few tens of milliseconds.
const EVENTS_PER_STEP: u32 = 500;

/// After this many new events, it is checked whether indexing is due.
const DUE_AFTER_EVENTS: u32 = 1_000;

/// Indexing waits for a quiet period of this length, and waits again while more than [`DUE_AFTER_EVENTS`] events
/// arrive within it.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// Indexing waits no longer once this many events are not indexed.
const MAX_EVENTS_WAITING: u32 = 50_000;

/// The state of the schedule.
#[derive(Debug, Default)]
pub(super) struct IndexSchedule {
    /// How many events were stored since the index was last extended.
    new: u32,
    /// The value of `new` when indexing was last postponed.
    new_at_postponement: u32,
    /// When indexing is due, if enough events wait for it.
    pub(super) due: Option<Timestamp>,
}

impl IndexSchedule {
    fn postpone(&mut self, now: Timestamp) {
        self.new_at_postponement = self.new;
        self.due = Some(now + QUIET_TIME);
    }

    /// Whether so many events are arriving that indexing can wait.
    const fn is_busy(&self) -> bool {
        self.new.saturating_sub(self.new_at_postponement) > DUE_AFTER_EVENTS && self.new < MAX_EVENTS_WAITING
    }

    /// The schedule of a store that was just opened: due at once if anything is not indexed.
    pub(super) fn of<S: Sql>(store: &Store<S>) -> Result<Self, SqlError> {
        let due = store.is_index_behind(Timestamp::from_millis(u64::MAX))?.then_some(Timestamp::EPOCH);
        Ok(Self { due, ..Self::default() })
    }
}

impl<S: Sql> ShardEngine<S> {
    /// Indexes new events before a search: some of them now, the rest soon.
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

    /// Counts an event that was stored.
    pub(in crate::engine) fn index_later(&mut self, now: Timestamp) {
        self.index_schedule.new = self.index_schedule.new.saturating_add(1);
        if self.index_schedule.new >= DUE_AFTER_EVENTS && self.index_schedule.due.is_none() {
            self.index_schedule.postpone(now);
        }
    }

    /// Indexes events if that is due, unless there is more urgent work.
    pub(super) fn index_if_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.index_schedule.due.is_none_or(|due| due > now) {
            return;
        }
        if self.index_schedule.is_busy() {
            self.index_schedule.postpone(now);
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
