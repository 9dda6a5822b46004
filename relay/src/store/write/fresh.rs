//! One query that determines which events of a batch are fresh, that is, unknown to the store.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::sql::{Sql, SqlError, values};
use openagents_host::{Event, Timestamp};

use super::precheck::{DELETION, GIFT_WRAP, VANISH, expires_at, identifier};
use crate::store::Store;
use crate::store::row_key::RowKey;
use crate::store::statement::json_list;

// Each event is passed as one string with id, author, second and row key in columns of fixed width, which is cheaper
// to split than JSON. Tables that are usually empty are tested once.
const NOT_FRESH: &str = "
    SELECT v.key FROM json_each(?) AS v
    WHERE v.value IS NOT NULL AND (
          (SELECT seq FROM search_progress) >= CAST(substr(v.value, 145) AS INTEGER)
       OR EXISTS (SELECT 1 FROM event WHERE seq = CAST(substr(v.value, 145) AS INTEGER))
       OR EXISTS (SELECT 1 FROM event WHERE id = unhex(substr(v.value, 1, 64)))
       OR (SELECT 1 FROM deleted LIMIT 1) IS NOT NULL AND EXISTS (
          SELECT 1 FROM deleted WHERE id = unhex(substr(v.value, 1, 64)) AND pubkey = unhex(substr(v.value, 65, 64)))
       OR (SELECT 1 FROM vanished LIMIT 1) IS NOT NULL AND EXISTS (
          SELECT 1 FROM vanished
          WHERE pubkey = unhex(substr(v.value, 65, 64)) AND until >= CAST(substr(v.value, 129, 16) AS INTEGER)))";

impl<S: Sql> Store<S> {
    /// Determines by one statement which of these events, inserted in this order, are unknown to the store: no row
    /// refers to them, and their row keys are free. The precheck of a fresh event is known without a query until
    /// another event [changes](super::Precheck::changes_others) it. An event that is not fresh may still be accepted,
    /// depending on its [`precheck`](Self::precheck).
    ///
    /// # Errors
    /// When the database fails.
    pub fn are_fresh(&self, now: Timestamp, events: &[&Event]) -> Result<Vec<bool>, SqlError> {
        let (mut ids, mut row_keys) = (BTreeSet::new(), BTreeSet::new());
        // Of two events with the same id or row key, only the first can be fresh.
        let mut are_fresh: Vec<bool> = events
            .iter()
            .map(|event| {
                let is_first = ids.insert(event.id) & row_keys.insert(RowKey::of(event));
                is_first && self.retention.keeps(event.kind) && can_be_fresh(now, event)
            })
            .collect();
        let rows = events.iter().zip(&are_fresh).map(|(event, is_fresh)| match is_fresh {
            true => {
                let (second, seq) = (event.created_at, RowKey::of(event).seq());
                format!("\"{}{}{second:016}{seq:016}\"", event.id, event.pubkey)
            }
            false => "null".to_owned(),
        });
        let rows = json_list(rows);
        self.sql.query(NOT_FRESH, values![&rows], &mut |row| {
            let number = usize::try_from(row.column::<u64>(0)?).unwrap_or(usize::MAX);
            if let Some(is_fresh) = are_fresh.get_mut(number) {
                *is_fresh = false;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(are_fresh)
    }
}

/// Whether this query is sufficient for an event like this.
fn can_be_fresh(now: Timestamp, event: &Event) -> bool {
    identifier(event).is_none()
        && !matches!(event.kind, DELETION | VANISH | GIFT_WRAP)
        && event.created_at <= MAX_CREATED_AT
        && expires_at(event).is_none_or(|second| second > now.as_seconds())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use openagents_host::native::Sqlite;
    use openagents_host::sql::{Sql, values};
    use openagents_host::{Event, EventId, Timestamp};

    use crate::fixtures;
    use crate::store::Store;
    use crate::store::row_key::RowKey;

    const NOW: Timestamp = Timestamp::from_seconds(8);

    #[test]
    fn an_event_is_not_fresh_if_its_row_key_is_taken() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let [first, second, taken] = [1, 2, 3].map(|second| fixtures::signed(1, second, &[]));
        // One whose id begins like that of the first.
        let mut id = *first.id.as_bytes();
        id[31] ^= 1;
        let beside = Event { id: EventId::from_bytes(id), ..Event::clone(&first) };
        store
            .sql()
            .execute(
                "INSERT INTO event (seq, id, pubkey, created_at, kind, json) VALUES (?, x'00', x'00', 0, 0, '')",
                values![RowKey::of(&taken).seq()],
            )
            .unwrap();
        let events: [&Event; 4] = [&first, &beside, &taken, &second];
        assert_eq!(store.are_fresh(NOW, &events).unwrap(), [true, false, false, true]);
    }

    #[test]
    fn an_event_is_not_fresh_if_it_is_stored_under_another_row_key() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let [stored, other] = [1, 2].map(|second| fixtures::signed(1, second, &[]));
        store
            .sql()
            .execute(
                "INSERT INTO event (seq, id, pubkey, created_at, kind, json) VALUES (?, ?, x'00', 1, 1, '')",
                values![RowKey::of(&stored).seq() + 1, &stored.id],
            )
            .unwrap();
        let events: [&Event; 2] = [&stored, &other];
        assert_eq!(store.are_fresh(NOW, &events).unwrap(), [false, true]);
    }

    #[test]
    fn an_event_is_not_fresh_if_it_is_late_for_the_search_index() {
        let store = Store::open(Sqlite::in_memory().unwrap()).unwrap();
        let events = [1, 2, 3].map(|second| fixtures::signed(1, second, &[]));
        let progress = values![RowKey::of(&events[1]).seq()];
        store.sql().execute("UPDATE search_progress SET seq = ?", progress).unwrap();
        let events: [&Event; 3] = [&events[0], &events[1], &events[2]];
        assert_eq!(store.are_fresh(NOW, &events).unwrap(), [false, false, true]);
    }
}
