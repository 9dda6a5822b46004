//! The `handover_batch` table: events for the agent that were stored in one turn of a Durable Object. Instead of a row for each in
//! `handover`, they have one row together, which is deleted when the agent has confirmed all of them.

use openagents_host::sql::{FromRow, Row, Sql, SqlError, values};
use openagents_host::{Event, EventId, Timestamp, VerifiedEvent};

use super::Store;
use super::handover::due;

/// How many batches are retried at a time. The events of a batch have a few megabytes at most.
const MAX_PER_STEP: u32 = 2;

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandoverBatch {
    pub(crate) number: u64,
    /// The events; those that the agent has confirmed since the row was written may still be among them.
    pub(crate) ids: Vec<EventId>,
    /// How often they were handed over.
    attempts: u32,
}

const COLUMNS: &str = "number, ids, attempts";

impl FromRow for HandoverBatch {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        let (ids, _) = row.column::<&[u8]>(1)?.as_chunks::<32>();
        Ok(Self {
            number: row.column(0)?,
            ids: ids.iter().copied().map(EventId::from_bytes).collect(),
            attempts: row.column(2)?,
        })
    }
}

impl<S: Sql> Store<S> {
    /// Records that these events are being handed over, and returns when to retry.
    pub(crate) fn begin_handover_batch(
        &self,
        now: Timestamp,
        number: u64,
        ids: &[EventId],
    ) -> Result<Timestamp, SqlError> {
        let due = due(now, 0);
        self.sql.execute(
            "INSERT INTO handover_batch (number, ids, due, attempts) VALUES (?, ?, ?, 1)",
            values![number, bytes(ids).as_slice(), due],
        )?;
        Ok(due)
    }

    /// Deletes a batch, of which no event has to be handed over any more.
    pub(crate) fn end_handover_batch(&self, number: u64) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM handover_batch WHERE number = ?", values![number])
    }

    /// All batches.
    pub(crate) fn handover_batches(&self) -> Result<Vec<HandoverBatch>, SqlError> {
        self.sql.rows(&format!("SELECT {COLUMNS} FROM handover_batch ORDER BY number"), &[])
    }

    /// The first batches whose handover is due.
    pub(crate) fn due_handover_batches(&self, now: Timestamp) -> Result<Vec<HandoverBatch>, SqlError> {
        self.sql.rows(
            &format!("SELECT {COLUMNS} FROM handover_batch WHERE due <= ? ORDER BY number LIMIT ?"),
            values![now, MAX_PER_STEP],
        )
    }

    /// Reads those of these events that are still stored, which are to be handed over again, and schedules the next retry of
    /// their batch, with a longer delay. A batch without any is deleted.
    pub(crate) fn retry_handover_batch(
        &self,
        now: Timestamp,
        batch: &HandoverBatch,
        remaining: &[EventId],
    ) -> Result<Vec<VerifiedEvent>, SqlError> {
        let mut events = Vec::with_capacity(remaining.len());
        for id in remaining {
            let json = self.sql.first::<(String,)>("SELECT json FROM event WHERE id = ?", values![id])?;
            let event = json.and_then(|(json,)| Event::from_json(&json).ok());
            events.extend(event.and_then(|event| event.verify().ok()));
        }
        if events.is_empty() {
            self.end_handover_batch(batch.number)?;
        } else {
            let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
            self.sql.execute(
                "UPDATE handover_batch SET ids = ?, due = ?, attempts = ? WHERE number = ?",
                values![
                    bytes(&ids).as_slice(),
                    due(now, batch.attempts),
                    batch.attempts.saturating_add(1),
                    batch.number
                ],
            )?;
        }
        Ok(events)
    }
}

fn bytes(ids: &[EventId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}
