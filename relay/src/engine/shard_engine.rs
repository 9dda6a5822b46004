//! The shard half of the relay: stored events, their insertion, removal and handover, the search index, and the rules
//! that operators have changed.
//!
//! It knows nothing of connections. The session half asks in the words of [`shard_api`](super::shard_api).

mod insert;
mod manage;
mod read;
mod removal;
mod search_index;

use std::sync::Arc;
use std::time::Duration;

use openagents_host::sql::{SchemaError, Sql, SqlError};
use openagents_host::{EventId, Timestamp};

pub(super) use self::read::MAX_INLINE_READ_BYTES;

use self::search_index::IndexSchedule;
use super::{Effect, RelayConfig};
use crate::management::Rules;
use crate::store::Store;

/// How long to wait before using the database again after it failed.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The events of a relay.
#[derive(Debug)]
pub(super) struct ShardEngine<S> {
    store: Store<S>,
    config: Arc<RelayConfig>,
    has_reader_threads: bool,
    /// Whether so many inputs arrived together that reads are left to the reader threads.
    under_load: bool,
    /// The configured lists, and what operators have changed.
    rules: Arc<Rules>,
    /// How many events were stored that invalidate the prechecks of others.
    changes: u64,
    /// Whether events of banned authors are to be removed, and when some of them are.
    next_purge: Option<Timestamp>,
    /// Not later than the next handover is due. It may be earlier: then there is nothing to do.
    next_handover: Option<Timestamp>,
    /// Not later than the next event is to be removed. It may be earlier: then there is nothing to do.
    next_removal: Option<Timestamp>,
    index_schedule: IndexSchedule,
}

impl<S: Sql> ShardEngine<S> {
    /// Opens the shard of a database.
    pub(super) fn open(sql: S, config: Arc<RelayConfig>) -> Result<Self, SchemaError> {
        let store = Store::open(sql)?.with_retention(config.retention.clone());
        let next_handover = store.next_handover()?;
        let next_removal = removal::next(&store)?;
        let index_schedule = IndexSchedule::of(&store)?;
        let mut rules = Rules::of(config.admission.lists.clone());
        store.complete_rules(&mut rules)?;
        let next_purge = store.has_to_purge()?.then_some(Timestamp::EPOCH);
        Ok(Self {
            store,
            config,
            has_reader_threads: false,
            under_load: false,
            rules: Arc::new(rules),
            changes: 0,
            next_purge,
            next_handover,
            next_removal,
            index_schedule,
        })
    }

    /// Leaves reads that take long to the reader threads of the host.
    pub(super) fn with_reader_threads(self) -> Self {
        Self { has_reader_threads: true, ..self }
    }

    pub(super) const fn store(&self) -> &Store<S> {
        &self.store
    }

    pub(super) fn config(&self) -> &RelayConfig {
        &self.config
    }

    /// The rules in force: the configured lists, and what operators have changed.
    pub(super) const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Says whether many inputs are handled next.
    pub(super) const fn set_under_load(&mut self, under_load: bool) {
        self.under_load = under_load;
    }

    /// Hands over at once all events that wait for it.
    pub(super) fn retry_handovers_now(&mut self, now: Timestamp) -> Result<(), SqlError> {
        self.store.retry_handovers_now(now)?;
        self.next_handover = self.store.next_handover()?;
        Ok(())
    }

    /// Notes that an event that was handed over has arrived.
    pub(super) fn delivered(&self, id: &EventId) -> Result<(), SqlError> {
        self.store.delivered(id)
    }

    /// Does what has become due.
    pub(super) fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.remove_what_ended(now, effects);
        self.purge(now, effects);
        let due = self.store.due_handovers(now).and_then(|due| Ok((due, self.store.next_handover()?)));
        match due {
            Ok((due, next)) => {
                effects.extend(due.into_iter().map(Effect::HandOver));
                self.next_handover = next;
            }
            Err(error) => {
                effects.push(Effect::Failed(error));
                self.next_handover = Some(now + RETRY_AFTER_FAILURE);
            }
        }
        self.index_if_due(now, effects);
    }

    /// When [`alarm`](Self::alarm) must be called next.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        [self.next_handover, self.next_removal, self.next_purge, self.index_schedule.due]
            .into_iter()
            .flatten()
            .min()
    }

    /// Drops what is in memory and reads it from the database again. What cannot be read again is not dropped.
    pub(super) fn forget(&mut self) -> Result<(), SchemaError> {
        let reopened = Self::open(self.store.sql().clone(), Arc::clone(&self.config))?;
        *self = Self { has_reader_threads: self.has_reader_threads, ..reopened };
        Ok(())
    }

    /// A transaction was undone: reads again what memory derived from it.
    pub(super) fn rolled_back(&mut self) {
        // What was due may be due again. If even this cannot be read, the next alarm finds out.
        self.next_handover = self.store.next_handover().unwrap_or(Some(Timestamp::EPOCH));
        self.next_removal = removal::next(&self.store).unwrap_or(Some(Timestamp::EPOCH));
        self.next_purge = match self.store.has_to_purge() {
            Ok(false) => None,
            Ok(true) | Err(_) => Some(Timestamp::EPOCH),
        };
        // Rules that cannot be read stay as they are: stricter or not, they were given by an operator.
        let _ = self.reload_rules();
    }
}
