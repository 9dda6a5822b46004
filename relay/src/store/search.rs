//! Finding events by their words (NIP-50).
//!
//! The index is not written when an event comes: that would be several rows for each. Events are taken into it many at a
//! time, in the order of their places, up to a mark; Cloudflare then bills a row for each that has words, and no more. A
//! search goes through the events behind the mark by itself. One that comes later with a place before the mark is noted.
//! What was removed stays in the index and joins nothing, until most of the index is such: then it is made anew.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::sql::{self, NextRow, SchemaError, Sql, SqlError, Value, values};
use openagents_host::{Event, EventId, Timestamp};

use super::batch::LONGEST_LIST;
use super::place::Place;
use super::select::{NOT_VANISHING, lower, upper};
use super::statement::{hex_string, json_list};
use super::{Store, Viewer};
use crate::filter::Filter;
use crate::limits::Limits;
use crate::message::Completeness;
use crate::search::{Match, Search, Text, best};

/// * `search_index` has the words of an event under its place, and nothing else: neither texts nor positions. What it finds
///   is held against the event itself.
/// * `search_progress` has one row: events up to this place are in the index, which has so many entries.
/// * `search_late` are those that came when the mark was past their place.
const INDEX: &str = "
CREATE VIRTUAL TABLE search_index USING fts5 (
    words, content = '', columnsize = 0, detail = 'none', tokenize = 'ascii'
);
CREATE TABLE search_progress (seq INTEGER NOT NULL, entries INTEGER NOT NULL) STRICT;
INSERT INTO search_progress (seq, entries) VALUES (0, 0);
CREATE TABLE search_late (seq INTEGER PRIMARY KEY) STRICT;
";

/// How many events behind the mark a search goes through by itself. Of more, it says that it may have missed some.
const MOST_UNINDEXED: u64 = 2_048;

/// When so many events wait for the index, it is time to take them in.
const MANY_WAITING: u64 = 256;

/// How many events of a filter are looked at one by one where its other conditions say which: fewer than an index is worth
/// asking for.
const FEW: u64 = 512;

/// How many events that have the words, the newest, are looked at for a filter; how many of them may match; and of how many
/// bytes they may be together.
const MOST_FOUND: u64 = 4_000;
const MOST_MATCHES: usize = 1_000;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// For how long events are left out of the index: others of the same time may still come, and it is in the order of time.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// After how many more entries it is looked whether most of the index is of events that are gone. One of fewer is not
/// worth it.
const LOOK_AFTER: u64 = 1 << 16;

/// The last place whose events are taken into the index.
fn settled(now: Timestamp) -> u64 {
    Place::last((now - SETTLED_AFTER).as_seconds()).seq()
}

/// The places of a range, the newest first: of the events behind the mark, of those that came late, and of those that the
/// index finds. One bound only: of two, SQLite would take the first to begin with and go through all up to the second.
const BEHIND: &str = "SELECT seq FROM event
     WHERE seq BETWEEN max(CAST(? AS INTEGER), (SELECT seq + 1 FROM search_progress)) AND CAST(? AS INTEGER)
     ORDER BY seq DESC";
const LATE: &str = "SELECT seq FROM search_late
     WHERE seq BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER) ORDER BY seq DESC";
const INDEXED: &str = "SELECT rowid AS seq FROM search_index
     WHERE search_index MATCH ? AND rowid BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER) ORDER BY rowid DESC";

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The best first.
    pub events: Vec<Arc<str>>,
    /// Whether these are all. That there are more is never said: a client that went on with the time of the oldest would
    /// skip some (NIP-67).
    pub completeness: Completeness,
}

pub(super) fn migrate<S: Sql>(sql: &S) -> Result<(), SchemaError> {
    sql::migrate(sql, "search", &[INDEX])
}

impl<S: Sql> Store<S> {
    /// Whether so many events wait for the index that it is time to take them in.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_index_behind(&self, now: Timestamp) -> Result<bool, SqlError> {
        let waiting: Option<(u64,)> = self.sql.first(
            "SELECT (SELECT count(*) FROM (SELECT 1 FROM event
                     WHERE seq > (SELECT seq FROM search_progress) AND seq <= CAST(? AS INTEGER) LIMIT ?))
                  + (SELECT count(*) FROM (SELECT 1 FROM search_late LIMIT ?))",
            values![settled(now), MANY_WAITING, MANY_WAITING],
        )?;
        Ok(waiting.is_some_and(|(waiting,)| waiting >= MANY_WAITING))
    }

    /// Notes an event if the mark is past its place.
    pub(super) fn index_late(&self, place: Place) -> Result<(), SqlError> {
        self.sql.execute(
            "INSERT INTO search_late (seq) SELECT ?1 FROM search_progress WHERE seq >= ?1 ON CONFLICT DO NOTHING",
            values![place.seq()],
        )
    }

    /// Takes events into the index, at most so many and only a few megabytes of them, and says whether there may be more. The events of the last moments are
    /// left for later: others of the same time may still come.
    ///
    /// # Errors
    /// When the database fails. Then nothing has changed.
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

    /// Counts new entries, begins the index anew if most of it is of events that are gone, and says whether it did.
    fn count_entries(&self, added: u64) -> Result<bool, SqlError> {
        if added == 0 {
            return Ok(false);
        }
        let entries: Option<(u64,)> = self
            .sql
            .first("UPDATE search_progress SET entries = entries + ? RETURNING entries", values![added])?;
        let entries = entries.map_or(0, |(entries,)| entries);
        if entries / LOOK_AFTER == entries.saturating_sub(added) / LOOK_AFTER {
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

    /// Adds entries for events that have words, and says how many.
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
            let text = Text::of(&event);
            if text.is_empty() {
                continue;
            }
            added = added.saturating_add(1);
            list.push(if list.is_empty() { '[' } else { ',' });
            // Words are letters and digits: nothing in them is escaped in JSON.
            let words = text.into_words();
            for part in ["[", &seq.to_string(), ",\"", words.trim_start(), "\"]"] {
                list.push_str(part);
            }
            if list.len() >= LONGEST_LIST {
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

    /// Hands over what is stored for filters. What is searched for comes first, filter by filter, the best first; then the
    /// rest, the newest first. Each event comes once.
    pub(super) fn query_with_searches(
        &self,
        now: Timestamp,
        filters: &[Filter],
        limits: &Limits,
        viewer: &Viewer<'_>,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<Completeness, SqlError> {
        let mut completeness = Completeness::Finished;
        let mut left = limits.max_answer_length;
        let mut sent: BTreeSet<Arc<str>> = BTreeSet::new();
        for filter in filters {
            let Some(search) = &filter.search else { continue };
            let found = self.search(now, filter, search, limits, viewer)?;
            completeness = least(completeness, found.completeness);
            for event in found.events {
                match left.checked_sub(event.len()) {
                    Some(after) => left = after,
                    None => {
                        completeness = Completeness::Unknown;
                        break;
                    }
                }
                if sent.insert(Arc::clone(&event)) {
                    each(event);
                }
            }
        }
        let others: Vec<Filter> = filters.iter().filter(|filter| filter.search.is_none()).cloned().collect();
        if !others.is_empty() {
            let limits = Limits { max_answer_length: left, ..limits.clone() };
            let of_others = self.query(now, &others, &limits, viewer, &mut |event| {
                if !sent.contains(&event) {
                    each(event);
                }
            })?;
            completeness = least(completeness, of_others);
        }
        Ok(completeness)
    }

    /// The stored events that match a filter, those that match its search best first.
    ///
    /// Where the words are in very many events, only the newest of them are compared.
    ///
    /// # Errors
    /// When the database fails.
    pub fn search(
        &self,
        now: Timestamp,
        filter: &Filter,
        search: &Search,
        limits: &Limits,
        viewer: &Viewer<'_>,
    ) -> Result<Found, SqlError> {
        let limit = limits.stored_events(filter);
        if limit == 0 || filter.matches_nothing() {
            return Ok(Found { events: Vec::new(), completeness: Completeness::Unknown });
        }
        let others = Filter { search: None, limit: Some(FEW), ..filter.clone() };
        let mut hits = Hits {
            now,
            others: &others,
            search,
            viewer,
            seen: BTreeSet::new(),
            matches: Vec::new(),
            bytes: 0,
        };
        let mut is_complete = self.few(&others, limits, &mut hits)?;
        if !is_complete {
            is_complete = self.unindexed(&mut hits)?;
            is_complete &= self.indexed(&search.index_query(), &mut hits)?;
            // What only begins as the last word comes behind what has it: it is not needed where there is enough.
            if let Some(query) = search.index_query_of_beginning() {
                let is_enough = u64::try_from(hits.matches.len()).is_ok_and(|matches| matches >= limit);
                is_complete = !is_enough && self.indexed(&query, &mut hits)? && is_complete;
            }
        }
        let mut left = limits.max_answer_length;
        let count = hits.matches.len();
        let events: Vec<Arc<str>> = best(search, hits.matches)
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map_while(|event| {
                left = left.checked_sub(event.len())?;
                Some(event)
            })
            .collect();
        let is_all = is_complete && events.len() == count;
        let completeness = if is_all { Completeness::Finished } else { Completeness::Unknown };
        Ok(Found { events, completeness })
    }

    /// Looks through the events of a filter whose other conditions are met by few, and says whether it was so.
    fn few(&self, others: &Filter, limits: &Limits, hits: &mut Hits<'_>) -> Result<bool, SqlError> {
        if others.ids.is_none() && others.authors.is_none() && others.tags.is_empty() {
            return Ok(false);
        }
        let limits = Limits { max_limit: FEW, ..limits.clone() };
        let mut is_whole = true;
        let found = self.query(hits.now, std::slice::from_ref(others), &limits, hits.viewer, &mut |json| {
            is_whole &= hits.add(&json).is_continue();
        });
        match found {
            Ok(completeness) => Ok(is_whole && completeness == Completeness::Finished),
            // Then the index of words is asked.
            Err(SqlError::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks through the events that are not in the index, and says whether it were all of them.
    fn unindexed(&self, hits: &mut Hits<'_>) -> Result<bool, SqlError> {
        let (lower, upper) = (lower(hits.others), upper(hits.others));
        let mut is_complete = true;
        for places in [BEHIND, LATE] {
            is_complete &= self.candidates(places, values![lower, upper], MOST_UNINDEXED, hits)?;
        }
        Ok(is_complete)
    }

    /// Looks through the events that the index finds, and says whether it were all of them.
    fn indexed(&self, query: &str, hits: &mut Hits<'_>) -> Result<bool, SqlError> {
        let (lower, upper) = (lower(hits.others), upper(hits.others));
        self.candidates(INDEXED, values![query, lower, upper], MOST_FOUND, hits)
    }

    /// Looks through the newest events of these places, at most so many, and says whether it were all of them. What the
    /// table of events shows of the filter's conditions is held against them before their texts are read.
    fn candidates(
        &self,
        places: &str,
        range: &[Value<'_>],
        at_most: u64,
        hits: &mut Hits<'_>,
    ) -> Result<bool, SqlError> {
        let Filter { authors, kinds, .. } = hits.others;
        let kinds = kinds.as_ref().map(|kinds| json_list(kinds.iter().map(ToString::to_string)));
        let authors = authors
            .as_ref()
            .map(|authors| json_list(authors.iter().map(|author| hex_string(author.as_bytes()))));
        // The join goes through the places in their order: CROSS JOIN forbids to turn it round.
        let mut statement = format!(
            "SELECT e.json FROM ({places} LIMIT ?) AS found CROSS JOIN event AS e ON e.seq = found.seq
             WHERE (e.expires_at IS NULL OR e.expires_at > ?){NOT_VANISHING}"
        );
        let now = hits.now.as_seconds();
        let limited = [range, values![at_most]].concat();
        let mut values = limited.clone();
        values.push(now.into());
        if let Some(kinds) = &kinds {
            statement.push_str(" AND e.kind IN (SELECT value FROM json_each(?))");
            values.push(kinds.into());
        }
        if let Some(authors) = &authors {
            statement.push_str(" AND e.pubkey IN (SELECT unhex(value) FROM json_each(?))");
            values.push(authors.into());
        }
        let mut is_whole = true;
        self.sql.query(&statement, &values, &mut |row| -> NextRow {
            let next = hits.add(row.column(0)?);
            is_whole &= next.is_continue();
            Ok(next)
        })?;
        // How many places there were cannot be seen from what is left of them.
        let more: Option<(u64,)> = self.sql.first(&format!("{places} LIMIT 1 OFFSET ?"), &limited)?;
        Ok(is_whole && more.is_none())
    }
}

fn least(one: Completeness, other: Completeness) -> Completeness {
    if one == other { one } else { Completeness::Unknown }
}

/// What matches so far.
struct Hits<'a> {
    now: Timestamp,
    /// The filter without its search.
    others: &'a Filter,
    search: &'a Search,
    viewer: &'a Viewer<'a>,
    seen: BTreeSet<EventId>,
    matches: Vec<Match<Arc<str>>>,
    /// How many bytes were looked at.
    bytes: usize,
}

impl Hits<'_> {
    /// Looks at an event, and says whether there is room for more.
    fn add(&mut self, json: &str) -> ControlFlow<()> {
        self.bytes = self.bytes.saturating_add(json.len());
        if self.matches.len() >= MOST_MATCHES || self.bytes > MOST_BYTES {
            return ControlFlow::Break(());
        }
        if let Ok(event) = Event::from_json(json)
            && self.others.matches(&event)
            && self.viewer.may_read(&event)
        {
            let text = Text::of(&event);
            if self.search.matches(&text) && self.seen.insert(event.id) {
                let (created_at, id) = (event.created_at, event.id);
                self.matches.push(Match { text, created_at, id, event: json.into() });
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
