//! The full-text index of events (NIP-50, SQLite's FTS5).
//!
//! The index is not written when an event is stored: that would cost several rows per event. Events are added later,
//! many at a time in the order of their row keys, up to a mark; Cloudflare then bills a single row for each event with
//! words. A search reads the events behind the mark directly. Late events, whose row key is before the mark, are
//! recorded separately. Entries of removed events stay in the index, where they join no event, until they are the
//! majority; then the index is rebuilt.

use std::time::Duration;

use openagents_host::sql::{self, SchemaError, Sql, SqlError, values};
use openagents_host::{Event, Timestamp};

use super::Store;
use super::row_batch::MAX_LIST_BYTES;
use super::row_key::RowKey;
use openagents_host::nostr::search::SearchableText;

/// * `search_index` has the words of an event under its row key, and neither texts nor positions. Results are compared
///   with the event itself.
/// * `search_progress` has one row: the mark (events up to this row key are indexed), and the number of index entries.
/// * `search_late` has the events that were stored when the mark had already passed their row key.
const INDEX: &str = "
CREATE VIRTUAL TABLE search_index USING fts5 (
    words, content = '', columnsize = 0, detail = 'none', tokenize = 'ascii'
);
CREATE TABLE search_progress (seq INTEGER NOT NULL, entries INTEGER NOT NULL) STRICT;
INSERT INTO search_progress (seq, entries) VALUES (0, 0);
CREATE TABLE search_late (seq INTEGER PRIMARY KEY) STRICT;
";

/// The index is extended when this many events wait for it.
const INDEX_BATCH: u64 = 256;

/// How old events must be to be indexed: the index follows the order of time, and more events of the same time may
/// still arrive.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// After this many new entries, it is checked whether most entries belong to removed events. A smaller index is not
/// worth rebuilding.
pub(super) const REBUILD_CHECK_INTERVAL: u64 = 1 << 16;

/// The last row key that may be indexed now.
fn settled(now: Timestamp) -> u64 {
    RowKey::last((now - SETTLED_AFTER).as_seconds()).seq()
}

pub(super) fn migrate<S: Sql>(sql: &S) -> Result<(), SchemaError> {
    sql::migrate(sql, "search", &[INDEX])
}

impl<S: Sql> Store<S> {
    /// Whether enough events wait for the index to extend it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_index_behind(&self, now: Timestamp) -> Result<bool, SqlError> {
        let waiting: Option<(u64,)> = self.sql.first(
            "SELECT (SELECT count(*) FROM (SELECT 1 FROM event
                     WHERE seq > (SELECT seq FROM search_progress) AND seq <= CAST(? AS INTEGER) LIMIT ?))
                  + (SELECT count(*) FROM (SELECT 1 FROM search_late LIMIT ?))",
            values![settled(now), INDEX_BATCH, INDEX_BATCH],
        )?;
        Ok(waiting.is_some_and(|(waiting,)| waiting >= INDEX_BATCH))
    }

    /// Records an event as late if the mark has passed its row key.
    pub(super) fn index_late(&self, row_key: RowKey) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO search_late (seq) SELECT ?1 FROM search_progress WHERE seq >= ?1 ON CONFLICT DO NOTHING",
            values![row_key.seq()],
        )
    }

    /// Adds waiting events to the index, at most `at_most` and a few megabytes of them. Returns whether there may be
    /// more. Very recent events have to wait, because more of the same time may still arrive.
    ///
    /// # Errors
    /// When the database fails. Nothing has changed then.
    pub fn extend_index(&self, now: Timestamp, at_most: u32) -> Result<bool, SqlError> {
        let is_full = |rows: usize| u32::try_from(rows).is_ok_and(|rows| rows >= at_most);
        self.sql.transaction(|| {
            let late = self.batch::<(u64, Option<String>)>(
                "SELECT late.seq, event.json FROM search_late AS late LEFT JOIN event ON event.seq = late.seq
                 ORDER BY late.seq LIMIT ?",
                values![at_most],
            )?;
            if let Some((last, _)) = late.rows.last() {
                self.sql.execute("DELETE FROM search_late WHERE seq <= ?", values![*last])?;
            }
            let is_late_full = late.is_cut || is_full(late.rows.len());
            let mut added = self.add_to_index(late.rows.into_iter().filter_map(|(seq, json)| Some((seq, json?))))?;
            if is_late_full {
                return Ok(self.count_entries(added)? || is_late_full);
            }
            let next = self.batch::<(u64, String)>(
                "SELECT seq, json FROM event
                 WHERE seq > (SELECT seq FROM search_progress) AND seq <= CAST(? AS INTEGER) ORDER BY seq LIMIT ?",
                values![settled(now), at_most],
            )?;
            if let Some((last, _)) = next.rows.last() {
                self.sql.execute("UPDATE search_progress SET seq = ?", values![*last])?;
            }
            let is_next_full = next.is_cut || is_full(next.rows.len());
            added = added.saturating_add(self.add_to_index(next.rows.into_iter())?);
            Ok(self.count_entries(added)? || is_next_full)
        })
    }

    /// Counts new entries. Clears the index, and returns true, if most entries belong to removed events.
    fn count_entries(&self, added: u64) -> Result<bool, SqlError> {
        if added == 0 {
            return Ok(false);
        }
        let entries: Option<(u64,)> = self
            .sql
            .first("UPDATE search_progress SET entries = entries + ? RETURNING entries", values![added])?;
        let entries = entries.map_or(0, |(entries,)| entries);
        if entries / REBUILD_CHECK_INTERVAL == entries.saturating_sub(added) / REBUILD_CHECK_INTERVAL {
            return Ok(false);
        }
        let events: Option<(u64,)> =
            self.sql.first("SELECT count(*) FROM event INDEXED BY event_by_kind", &[])?;
        if events.is_some_and(|(events,)| events >= entries / 2) {
            return Ok(false);
        }
        self.sql.batch(
            "INSERT INTO search_index (search_index) VALUES ('delete-all');
             DELETE FROM search_late;
             UPDATE search_progress SET seq = 0, entries = 0;",
        )?;
        Ok(true)
    }

    /// Adds entries for the events that contain words, and returns how many.
    fn add_to_index(&self, events: impl Iterator<Item = (u64, String)>) -> Result<u64, SqlError> {
        let write = |list: &str| {
            self.sql.execute(
                "INSERT INTO search_index (rowid, words) SELECT value ->> 0, value ->> 1 FROM json_each(?)",
                values![list],
            )
        };
        let mut list = String::new();
        let mut added: u64 = 0;
        for (seq, json) in events {
            let Ok(event) = Event::from_json(&json) else { continue };
            let text = SearchableText::of(&event);
            if text.is_empty() {
                continue;
            }
            added = added.saturating_add(1);
            list.push(if list.is_empty() { '[' } else { ',' });
            // Words consist of letters and digits, so JSON needs no escapes.
            let words = text.into_words();
            for part in ["[", &seq.to_string(), ",\"", words.trim_start(), "\"]"] {
                list.push_str(part);
            }
            if list.len() >= MAX_LIST_BYTES {
                list.push(']');
                write(&list)?;
                list.clear();
            }
        }
        if !list.is_empty() {
            list.push(']');
            write(&list)?;
        }
        Ok(added)
    }
}
