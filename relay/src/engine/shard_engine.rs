//! The shard half of the relay: stored events, their insertion, removal and handover, the search index, and the
//! operators' changes to the rules.
//!
//! It knows nothing of connections. The session half calls it with the types of [`shard_api`](super::shard_api).

mod handover_batches;
mod insert;
mod manage;
mod read;
mod removal;
mod scan;
mod search_index;

use std::sync::Arc;
use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::sql::{SchemaError, Sql, SqlError};

pub(super) use self::read::{MAX_INLINE_READ_BYTES, MAX_REQUEST_LOOK_UPS};
pub(super) use self::scan::ReadScan;

use self::handover_batches::HandoverBatches;
use self::search_index::IndexSchedule;
use super::{Effect, RelayConfig};
use crate::management::Rules;
use crate::store::Store;

/// How long to wait after a database failure before trying again.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The events of a relay.
#[derive(Debug)]
pub(super) struct ShardEngine<S> {
    store: Store<S>,
    config: Arc<RelayConfig>,
    has_reader_threads: bool,
    /// Whether the current batch is large, so that reads are left to the reader threads.
    under_load: bool,
    /// The configured lists with the operators' changes.
    rules: Arc<Rules>,
    /// How many events that invalidate prechecks of other events were stored so far.
    changes: u64,
    /// When to remove more events of banned authors, if there are any.
    next_purge: Option<Timestamp>,
    /// The next handover is not due before this time. It may be later.
    next_handover: Option<Timestamp>,
    handovers: HandoverBatches,
    /// The next removal is not due before this time. It may be later.
    next_removal: Option<Timestamp>,
    index_schedule: IndexSchedule,
}

impl<S: Sql> ShardEngine<S> {
    /// Opens the shard on a database.
    pub(super) fn open(sql: S, config: Arc<RelayConfig>) -> Result<Self, SchemaError> {
        let store = Store::open(sql)?.with_retention(config.retention.clone());
        let next_handover = store.next_handover()?;
        let handovers = HandoverBatches::open(&store)?;
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
            handovers,
            next_removal,
            index_schedule,
        })
    }

    /// Leaves long reads to reader threads of the host.
    pub(super) fn with_reader_threads(self) -> Self {
        Self { has_reader_threads: true, ..self }
    }

    pub(super) const fn store(&self) -> &Store<S> {
        &self.store
    }

    pub(super) fn config(&self) -> &RelayConfig {
        &self.config
    }

    /// The rules in force: the configured lists with the operators' changes.
    pub(super) const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Says whether the next batch is large.
    pub(super) const fn set_under_load(&mut self, under_load: bool) {
        self.under_load = under_load;
    }

    /// Makes all waiting handovers due now.
    pub(super) fn retry_handovers_now(&mut self, now: Timestamp) -> Result<(), SqlError> {
        self.store.retry_handovers_now(now)?;
        self.next_handover = self.store.next_handover()?;
        Ok(())
    }

    /// Does everything that is due.
    pub(super) fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.remove_due(now, effects);
        self.purge(now, effects);
        let due = self.due_handovers(now).and_then(|due| Ok((due, self.store.next_handover()?)));
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

    /// Discards the state in memory and reads it from the database again. If that fails, it is kept.
    pub(super) fn forget(&mut self) -> Result<(), SchemaError> {
        let reopened = Self::open(self.store.sql().clone(), Arc::clone(&self.config))?;
        *self = Self { has_reader_threads: self.has_reader_threads, ..reopened };
        Ok(())
    }

    /// A transaction was rolled back: reloads the state in memory that depends on it.
    pub(super) fn rolled_back(&mut self) {
        // Removals may be due again. If even this query fails, the next alarm tries again.
        self.next_handover = self.store.next_handover().unwrap_or(Some(Timestamp::EPOCH));
        // Batches that cannot be read now are read when they are due.
        self.handovers = HandoverBatches::open(&self.store).unwrap_or_default();
        self.next_removal = removal::next(&self.store).unwrap_or(Some(Timestamp::EPOCH));
        self.next_purge = match self.store.has_to_purge() {
            Ok(false) => None,
            Ok(true) | Err(_) => Some(Timestamp::EPOCH),
        };
        // If the rules cannot be read, the current ones are kept: they were set by an operator.
        let _ = self.reload_rules();
    }
}
