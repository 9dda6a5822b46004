//! Handover of events that come together: which of them the agent has yet to confirm.
//!
//! A Durable Object is billed for each row it writes, so the events of a turn share one row. It is written before the first of
//! them is stored, in the same commit, and may name some that are refused afterwards.

use std::collections::BTreeMap;

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{EventId, Kind, Timestamp, VerifiedEvent};

use super::ShardEngine;
use crate::store::Store;

/// How many batches there may be. While the agent confirms nothing, further events have rows of their own.
const MAX_BATCHES: usize = 256;

/// The events of the `handover_batch` table.
#[derive(Debug, Default)]
pub(super) struct HandoverBatches {
    events: BTreeMap<EventId, BatchedEvent>,
    /// Each batch with the number of its events.
    batches: BTreeMap<u64, usize>,
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct BatchedEvent {
    batch: u64,
    /// Until it is stored, when its handover is retried.
    retried_at: Option<Timestamp>,
}

impl HandoverBatches {
    pub(super) fn open<S: Sql>(store: &Store<S>) -> Result<Self, SqlError> {
        let mut batches = Self::default();
        for batch in store.handover_batches()? {
            batches.add(batch.number, &batch.ids, None);
        }
        Ok(batches)
    }

    fn add(&mut self, batch: u64, ids: &[EventId], retried_at: Option<Timestamp>) {
        self.last = self.last.max(batch);
        self.batches.insert(batch, 0);
        for id in ids {
            let before = self.events.insert(*id, BatchedEvent { batch, retried_at });
            if before.is_none_or(|before| before.batch != batch)
                && let Some(events) = self.batches.get_mut(&batch)
            {
                *events = events.saturating_add(1);
            }
            if let Some(before) = before.filter(|before| before.batch != batch) {
                self.count_out(before.batch);
            }
        }
    }

    /// Removes an event. Returns its batch if that has no others.
    fn remove(&mut self, id: &EventId) -> Option<u64> {
        let batch = self.events.remove(id)?.batch;
        (self.count_out(batch) == 0).then(|| {
            self.batches.remove(&batch);
            batch
        })
    }

    /// One event fewer in a batch. Returns how many are left.
    fn count_out(&mut self, batch: u64) -> usize {
        self.batches.get_mut(&batch).map_or(0, |events| {
            *events = events.saturating_sub(1);
            *events
        })
    }

    /// When the handover of an event in a batch is retried, if it is not stored yet.
    pub(super) fn retried_at(&self, id: &EventId) -> Option<Timestamp> {
        self.events.get(id)?.retried_at
    }

    /// An event in a batch was stored.
    pub(super) fn stored(&mut self, id: &EventId) {
        if let Some(event) = self.events.get_mut(id) {
            event.retried_at = None;
        }
    }

    /// The stored events of a batch.
    fn stored_of(&self, batch: u64) -> Vec<EventId> {
        let of_batch =
            self.events.iter().filter(|(_, event)| event.batch == batch && event.retried_at.is_none());
        of_batch.map(|(id, _)| *id).collect()
    }
}

impl<S: Sql> ShardEngine<S> {
    /// Writes the row that these events share if they are stored, those of them that are to be handed over. They must be
    /// handled in the same commit. If the row cannot be written, each has a row of its own.
    pub(in crate::engine) fn begin_handovers<'a>(
        &mut self,
        now: Timestamp,
        events: impl Iterator<Item = &'a VerifiedEvent>,
    ) {
        let config = &self.config;
        let stays = |kind| config.retention.keeps(kind) && config.retention.time(kind).is_none();
        let wanted = events
            .filter(|event| event.kind != Kind::VANISH && stays(event.kind) && config.handover.wants(event));
        let ids: Vec<EventId> = wanted.map(|event| event.id).collect();
        if ids.len() < 2 || self.handovers.batches.len() >= MAX_BATCHES {
            return;
        }
        let number = self.handovers.last.saturating_add(1);
        if let Ok(retried_at) = self.store.begin_handover_batch(now, number, &ids) {
            self.handovers.add(number, &ids, Some(retried_at));
        }
    }

    /// An event that may be in a batch was handled. If it was not stored, it is not handed over.
    pub(in crate::engine) fn end_handover_unless_stored(&mut self, id: &EventId) -> Result<(), SqlError> {
        match self.handovers.retried_at(id) {
            Some(_) => self.end_handover(id).map(drop),
            None => Ok(()),
        }
    }

    /// The agent has confirmed an event that was handed over.
    pub(in crate::engine) fn delivered(&mut self, id: &EventId) -> Result<(), SqlError> {
        match self.end_handover(id)? {
            true => Ok(()),
            false => self.store.delivered(id),
        }
    }

    /// Removes an event from its batch. Returns whether it was in one.
    fn end_handover(&mut self, id: &EventId) -> Result<bool, SqlError> {
        let was_batched = self.handovers.events.contains_key(id);
        if let Some(batch) = self.handovers.remove(id) {
            self.store.end_handover_batch(batch)?;
        }
        Ok(was_batched)
    }

    /// The events whose handover is due, and schedules the next retry of each.
    pub(super) fn due_handovers(&mut self, now: Timestamp) -> Result<Vec<VerifiedEvent>, SqlError> {
        let mut events = self.store.due_handovers(now)?;
        for batch in self.store.due_handover_batches(now)? {
            if !self.handovers.batches.contains_key(&batch.number) {
                // It could not be deleted when its last event was confirmed.
                self.handovers.add(batch.number, &batch.ids, None);
            }
            let remaining = self.handovers.stored_of(batch.number);
            let found = self.store.retry_handover_batch(now, &batch, &remaining)?;
            // Others were replaced by newer versions, which are handed over themselves, or were removed.
            for id in batch.ids.iter().filter(|id| !found.iter().any(|event| event.id == **id)) {
                if self.handovers.events.get(id).is_some_and(|event| event.batch == batch.number) {
                    self.handovers.remove(id);
                }
            }
            if found.is_empty() {
                self.handovers.batches.remove(&batch.number);
            }
            events.extend(found);
        }
        Ok(events)
    }
}
