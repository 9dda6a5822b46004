//! The removal of events, with all that points at them.

use openagents_host::sql::{FromRow, Row, Sql, SqlError, values};
use openagents_host::{Event, EventId};

use super::Store;
use super::statement::{hex_string, json_list};
use crate::tag::TagKey;

/// A stored event that is to be removed.
pub(super) struct Doomed {
    pub(super) seq: u64,
    pub(super) json: String,
}

impl FromRow for Doomed {
    fn from_row(row: &Row<'_>) -> Result<Self, SqlError> {
        Ok(Self { seq: row.column(0)?, json: row.column(1)? })
    }
}

impl<S: Sql> Store<S> {
    /// Removes one event, whatever its kind, and says whether it was there. It may come back: what may not is for whoever
    /// removes it to say.
    ///
    /// # Errors
    /// When the database fails. Then nothing has changed.
    pub fn remove(&self, id: &EventId) -> Result<bool, SqlError> {
        self.sql.transaction(|| {
            let found: Vec<Doomed> =
                self.sql.rows("SELECT seq, json FROM event WHERE id = ?", values![id])?;
            self.erase(&found)?;
            Ok(!found.is_empty())
        })
    }

    /// Removes events and their tags, in two statements however many they are.
    pub(super) fn erase(&self, events: &[Doomed]) -> Result<(), SqlError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut tags = Vec::new();
        for Doomed { seq, json } in events {
            match Event::from_json(json) {
                Ok(event) => tags.extend(
                    TagKey::of(&event).iter().map(|key| format!("[{},{seq}]", hex_string(key.as_bytes()))),
                ),
                // Somebody else has written here. All tags have to be gone through to find those of this row.
                Err(_) => self.sql.execute("DELETE FROM tag WHERE seq = ?", values![*seq])?,
            }
        }
        if !tags.is_empty() {
            self.sql.execute(
                "DELETE FROM tag WHERE (key, seq) IN (SELECT unhex(value ->> 0), value ->> 1 FROM json_each(?))",
                values![&json_list(tags.iter())],
            )?;
        }
        let seqs = json_list(events.iter().map(|event| event.seq.to_string()));
        self.sql.execute("DELETE FROM event WHERE seq IN (SELECT value FROM json_each(?))", values![&seqs])
    }
}
