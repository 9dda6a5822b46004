//! The `handover` table: events for the agent, written together with the event and deleted when the agent confirms.

use std::time::Duration;

use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{Event, EventId, Timestamp, VerifiedEvent};

use super::Store;

/// How many handovers are retried at a time.
const MAX_PER_STEP: u32 = 256;

/// The delay before the first retry. It doubles with each further one.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(2);

/// The longest delay between two attempts.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);

impl<S: Sql> Store<S> {
    /// Records that an event is being handed over, and returns when to retry unless it is
    /// [`delivered`](Self::delivered) by then. `stored` says whether the event itself is in the store.
    ///
    /// # Errors
    /// When the database fails.
    pub fn hand_over(
        &self,
        now: Timestamp,
        event: &VerifiedEvent,
        stored: bool,
    ) -> Result<Timestamp, SqlError> {
        let due = due(now, 0);
        let json = (!stored).then(|| &**event.json());
        self.sql.execute(
            "INSERT INTO handover (id, due, attempts, json) VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING",
            values![&event.id, due, json],
        )?;
        Ok(due)
    }

    /// Deletes a handover that was confirmed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn delivered(&self, id: &EventId) -> Result<(), SqlError> {
        self.sql.execute("DELETE FROM handover WHERE id = ?", values![id])
    }

    /// Makes all handovers due now: the agent was restarted, so the delays of earlier attempts no longer matter.
    ///
    /// # Errors
    /// When the database fails.
    pub fn retry_handovers_now(&self, now: Timestamp) -> Result<(), SqlError> {
        self.sql.execute("UPDATE handover SET due = ? WHERE due > ?", values![now, now])?;
        self.sql.execute("UPDATE handover_batch SET due = ? WHERE due > ?", values![now, now])
    }

    /// When the next handover is due.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next_handover(&self) -> Result<Option<Timestamp>, SqlError> {
        let earliest: Option<(Option<Timestamp>, Option<Timestamp>)> = self
            .sql
            .first("SELECT (SELECT min(due) FROM handover), (SELECT min(due) FROM handover_batch)", &[])?;
        Ok(earliest.and_then(|(alone, batched)| [alone, batched].into_iter().flatten().min()))
    }

    /// The events whose handover is due, a few megabytes of them. Schedules the next retry of each, with a longer
    /// delay.
    ///
    /// # Errors
    /// When the database fails.
    pub fn due_handovers(&self, now: Timestamp) -> Result<Vec<VerifiedEvent>, SqlError> {
        self.sql.transaction(|| {
            let found = self.batch::<(EventId, u32, Option<String>)>(
                "SELECT h.id, h.attempts, coalesce(h.json, e.json) FROM handover AS h LEFT JOIN event AS e ON e.id = h.id
                 WHERE h.due <= ? ORDER BY h.due LIMIT ?",
                values![now, MAX_PER_STEP],
            )?;
            let mut events = Vec::with_capacity(found.rows.len());
            for (id, attempts, json) in found.rows {
                let event = json.and_then(|json| Event::from_json(&json).ok()).and_then(|event| event.verify().ok());
                let Some(event) = event else {
                    // It was replaced by a newer version, which has a handover of its own.
                    self.delivered(&id)?;
                    continue;
                };
                self.sql.execute(
                    "UPDATE handover SET due = ?, attempts = ? WHERE id = ?",
                    values![due(now, attempts), attempts.saturating_add(1), &id],
                )?;
                events.push(event);
            }
            Ok(events)
        })
    }
}

/// When to retry, after this many attempts before the current one.
pub(super) fn due(now: Timestamp, attempts: u32) -> Timestamp {
    let factor = 2_u32.saturating_pow(attempts.min(16));
    now + FIRST_RETRY_DELAY.saturating_mul(factor).min(MAX_RETRY_DELAY)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use openagents_host::Timestamp;
    use openagents_host::native::Sqlite;

    use crate::fixtures;
    use crate::store::Store;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn after(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_000 + seconds)
    }

    #[test]
    fn comes_again_with_growing_patience_until_delivered() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let event = fixtures::signed(5_050, 1, &[]);
        store.insert(NOW, &event).unwrap();
        assert_eq!(store.hand_over(NOW, &event, true).unwrap(), after(2));
        assert!(store.due_handovers(after(1)).unwrap().is_empty());
        let mut at = 2;
        for wait in [4, 8, 16, 32, 60, 60] {
            assert_eq!(store.due_handovers(after(at)).unwrap(), std::slice::from_ref(&event), "{at}");
            at += wait;
            assert_eq!(store.next_handover().unwrap(), Some(after(at)));
        }
        store.delivered(&event.id).unwrap();
        assert_eq!(store.next_handover().unwrap(), None);
        assert!(store.due_handovers(after(1_000)).unwrap().is_empty());
    }

    #[test]
    fn keeps_an_event_that_the_store_does_not() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let event = fixtures::signed(25_050, 1, &[]);
        store.hand_over(NOW, &event, false).unwrap();
        assert_eq!(store.due_handovers(after(2)).unwrap(), [event]);
    }

    #[test]
    fn forgets_a_version_that_was_replaced() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let [old, new] = [1, 2].map(|at| fixtures::signed(10_050, at, &[]));
        for event in [&old, &new] {
            store.insert(NOW, event).unwrap();
            store.hand_over(NOW, event, true).unwrap();
        }
        assert_eq!(store.due_handovers(after(2)).unwrap(), [new]);
        assert_eq!(store.next_handover().unwrap(), Some(after(6)));
    }
}
