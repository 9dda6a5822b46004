//! The part of the engine that has to do with searches (NIP-50).

use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::{Effect, PAUSE_AFTER_FAILURE, Relay};
use crate::filter::Filter;
use crate::store::Store;

/// How many events are taken into the index of words at a time: a few tens of milliseconds.
const AT_A_TIME: u32 = 500;

/// After how many new events it is looked whether it is time for that.
const LOOK_AFTER: u32 = 1_000;

/// That waits for a lull: for so long, and again for so long while more than [`LOOK_AFTER`] events come in that time.
const LULL: Duration = Duration::from_secs(1);

/// When so many events wait, it waits no longer.
const MOST_WAITING: u32 = 50_000;

/// What of the index of words is to be done.
#[derive(Debug, Default)]
pub(super) struct Indexing {
    /// The events that have come since the index was extended last, and those of them that had when it was put off.
    new: u32,
    before: u32,
    pub(super) due: Option<Timestamp>,
}

impl Indexing {
    fn put_off(&mut self, now: Timestamp) {
        self.before = self.new;
        self.due = Some(now + LULL);
    }

    /// Whether so many events are coming that the index can wait.
    const fn is_crowded(&self) -> bool {
        self.new.saturating_sub(self.before) > LOOK_AFTER && self.new < MOST_WAITING
    }

    /// What may be to do for a store that was just opened: if something is, it is due.
    pub(super) fn of<S: Sql>(store: &Store<S>) -> Result<Self, SqlError> {
        let due = store.is_index_behind(Timestamp::from_millis(u64::MAX))?.then_some(Timestamp::EPOCH);
        Ok(Self { due, ..Self::default() })
    }
}

impl<S: Sql> Relay<S> {
    /// Takes what came since into the index before a search, or some of it, and the rest soon.
    pub(super) fn prepare_search(&mut self, now: Timestamp, filters: &[Filter], effects: &mut Vec<Effect>) {
        if filters.iter().any(|filter| filter.search.is_some()) {
            self.extend_index(now, effects);
        }
    }

    /// Notes that an event was stored.
    pub(super) fn index_later(&mut self, now: Timestamp) {
        self.indexing.new = self.indexing.new.saturating_add(1);
        if self.indexing.new >= LOOK_AFTER && self.indexing.due.is_none() {
            self.indexing.put_off(now);
        }
    }

    /// Does the indexing that is due, unless there is more urgent work.
    pub(super) fn index_if_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.indexing.due.is_none_or(|due| due > now) {
            return;
        }
        if self.indexing.is_crowded() {
            self.indexing.put_off(now);
        } else {
            self.extend_index(now, effects);
        }
    }

    fn extend_index(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_more = self
            .store
            .is_index_behind(now)
            .and_then(|is_behind| Ok(is_behind && self.store.extend_index(now, AT_A_TIME)?));
        self.indexing.due = match is_more {
            Ok(true) => Some(now),
            Ok(false) => {
                self.indexing = Indexing::default();
                None
            }
            Err(error) => {
                effects.push(Effect::Failed(error));
                Some(now + PAUSE_AFTER_FAILURE)
            }
        };
    }
}
