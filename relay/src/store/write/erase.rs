//! Deleting the rows of events and their tags.

use openagents_host::sql::{FromRow, Row, Sql, SqlError, Value, values};
use openagents_host::{Event, EventId};

use crate::store::Store;
use crate::store::row_batch::{MAX_LIST_BYTES, RowLength};
use crate::store::statement::{hex_string, json_list};
use openagents_host::nostr::tag::TagKey;

/// A stored event that is about to be removed.
pub(in crate::store) struct EventRow {
    pub(in crate::store) seq: u64,
    pub(in crate::store) json: String,
}

impl FromRow for EventRow {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        Ok(Self { seq: row.column(0)?, json: row.column(1)? })
    }
}

impl RowLength for EventRow {
    fn length(&self) -> usize {
        self.json.len()
    }
}

/// The result of deleting the events that a statement selected.
pub(in crate::store) struct EraseResult {
    /// How many were deleted.
    pub(in crate::store) events: u32,
    /// Whether the size limit was reached, so there may be more.
    pub(in crate::store) may_be_more: bool,
}

impl<S: Sql> Store<S> {
    /// Removes an event of any kind; returns whether it was stored. It may be published again: the caller decides what
    /// to refuse.
    ///
    /// # Errors
    /// When the database fails. Nothing has changed then.
    pub fn remove(&self, id: &EventId) -> Result<bool, SqlError> {
        self.sql.transaction(|| {
            let found: Vec<EventRow> =
                self.sql.rows("SELECT seq, json FROM event WHERE id = ?", values![id])?;
            self.erase(&found)?;
            Ok(!found.is_empty())
        })
    }

    /// Removes events selected by a statement with rows of [`EventRow`], up to the size limit of a batch.
    pub(in crate::store) fn erase_some(
        &self,
        statement: &str,
        values: &[Value<'_>],
    ) -> Result<EraseResult, SqlError> {
        let found = self.batch::<EventRow>(statement, values)?;
        self.erase(&found.rows)?;
        let events = u32::try_from(found.rows.len()).unwrap_or(u32::MAX);
        Ok(EraseResult { events, may_be_more: found.is_cut })
    }

    /// Removes all events selected by a statement with rows of [`EventRow`].
    pub(in crate::store) fn erase_all(&self, statement: &str, values: &[Value<'_>]) -> Result<(), SqlError> {
        while self.erase_some(statement, values)?.may_be_more {}
        Ok(())
    }

    /// Removes events and their tags in two statements, or a few more if there are many tags.
    pub(in crate::store) fn erase(&self, events: &[EventRow]) -> Result<(), SqlError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut tags = String::new();
        for EventRow { seq, json } in events {
            match Event::from_json(json) {
                Ok(event) => {
                    for key in &TagKey::of(&event) {
                        tags.push(if tags.is_empty() { '[' } else { ',' });
                        for part in ["[", &hex_string(key.as_bytes()), ",", &seq.to_string(), "]"] {
                            tags.push_str(part);
                        }
                        if tags.len() >= MAX_LIST_BYTES {
                            self.erase_tags(&mut tags)?;
                        }
                    }
                }
                // The row was written by something else. All tags must be scanned to find the ones of this row.
                Err(_) => self.sql.execute("DELETE FROM tag WHERE seq = ?", values![*seq])?,
            }
        }
        if !tags.is_empty() {
            self.erase_tags(&mut tags)?;
        }
        let seqs = json_list(events.iter().map(|event| event.seq.to_string()));
        self.sql.execute("DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?))", values![&seqs])
    }
    /// Deletes tags by an unterminated JSON list of keys and row keys, and starts a new list.
    fn erase_tags(&self, list: &mut String) -> Result<(), SqlError> {
        list.push(']');
        self.sql.execute(
            "DELETE FROM tag WHERE (key, seq) IN (SELECT unhex(value ->> 0), value ->> 1 FROM json_each(?))",
            values![list.as_str()],
        )?;
        list.clear();
        Ok(())
    }
}
