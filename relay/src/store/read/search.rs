//! Full-text search over the stored events (NIP-50).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use openagents_host::sql::{NextRow, Sql, SqlError, Value, values};
use openagents_host::{Event, EventId, Timestamp};

use super::select::{NOT_VANISHING, lower, upper};
use crate::limits::Limits;
use crate::store::statement::{hex_string, json_list};
use crate::store::{Store, Viewer};
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::Completeness;
use openagents_host::nostr::search::{Match, Search, SearchableText, best};

/// How many events that are not yet indexed a search reads. If there are more, the answer says that it may be
/// incomplete.
const MAX_UNINDEXED: u64 = 2_048;

/// How many events are examined one by one if the filter's other conditions find them: too few for the index to be
/// worth a query.
const MAX_BY_OTHER_CONDITIONS: u64 = 512;

/// Limits per filter: how many of the newest events with the words are examined, how many of them may match, and how
/// many bytes are read in all.
const MAX_CANDIDATES: u64 = 4_000;
const MAX_MATCHES: usize = 1_000;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The row keys of a range, the newest first: of events behind the mark (not yet indexed), of late events, and of what
/// the index finds. The range starts with a single bound (`max`): given two lower bounds, SQLite would seek to the
/// first and scan up to the second.
const BEHIND: &str = "SELECT seq FROM event
     WHERE seq BETWEEN max(CAST(? AS INTEGER), (SELECT seq + 1 FROM search_progress)) AND CAST(? AS INTEGER)
     ORDER BY seq DESC";
const LATE: &str = "SELECT seq FROM search_late
     WHERE seq BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER) ORDER BY seq DESC";
const INDEXED: &str = "SELECT rowid AS seq FROM search_index
     WHERE search_index MATCH ? AND rowid BETWEEN CAST(? AS INTEGER) AND CAST(? AS INTEGER) ORDER BY rowid DESC";

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchResult {
    /// The matching events, the best first.
    pub events: Vec<Arc<str>>,
    /// Whether these are all. It is never [`Completeness::More`]: a client that continued from the oldest event's time
    /// would skip some (NIP-67).
    pub completeness: Completeness,
}

impl<S: Sql> Store<S> {
    /// Calls `each` for the stored events of these filters, once per event. Results of searches come first, filter by
    /// filter and the best first; then the rest, the newest first.
    pub(in crate::store) fn query_with_searches(
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

    /// The stored events that match a filter, the best matches of its search first.
    ///
    /// If very many events contain the words, only the newest of them are compared.
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
    ) -> Result<SearchResult, SqlError> {
        let limit = limits.stored_events(filter);
        if limit == 0 || filter.matches_nothing() {
            return Ok(SearchResult { events: Vec::new(), completeness: Completeness::Unknown });
        }
        let others = Filter { search: None, limit: Some(MAX_BY_OTHER_CONDITIONS), ..filter.clone() };
        let mut hits = Hits {
            now,
            others: &others,
            search,
            viewer,
            seen: BTreeSet::new(),
            matches: Vec::new(),
            bytes: 0,
        };
        let mut is_complete = self.by_other_conditions(&others, limits, &mut hits)?;
        if !is_complete {
            is_complete = self.unindexed(&mut hits)?;
            is_complete &= self.indexed(&search.index_query(), &mut hits)?;
            // Events that only contain words beginning with the last word rank below those that contain it: they are
            // not needed if there are enough of the latter.
            if let Some(query) = search.index_prefix_query() {
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
        Ok(SearchResult { events, completeness })
    }

    /// Examines the events that the filter's other conditions find, if they are few; returns whether they were all
    /// examined.
    fn by_other_conditions(
        &self,
        others: &Filter,
        limits: &Limits,
        hits: &mut Hits<'_>,
    ) -> Result<bool, SqlError> {
        if others.ids.is_none() && others.authors.is_none() && others.tags.is_empty() {
            return Ok(false);
        }
        let limits = Limits { max_limit: MAX_BY_OTHER_CONDITIONS, ..limits.clone() };
        let mut is_whole = true;
        let found = self.query(hits.now, std::slice::from_ref(others), &limits, hits.viewer, &mut |json| {
            is_whole &= hits.add(&json).is_continue();
        });
        match found {
            Ok(completeness) => Ok(is_whole && completeness == Completeness::Finished),
            // The word index is used then.
            Err(SqlError::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Examines the events that are not in the index; returns whether all of them were examined.
    fn unindexed(&self, hits: &mut Hits<'_>) -> Result<bool, SqlError> {
        let (lower, upper) = (lower(hits.others), upper(hits.others));
        let mut is_complete = true;
        for row_keys in [BEHIND, LATE] {
            is_complete &= self.candidates(row_keys, values![lower, upper], MAX_UNINDEXED, hits)?;
        }
        Ok(is_complete)
    }

    /// Examines the events that the index finds; returns whether all of them were examined.
    fn indexed(&self, query: &str, hits: &mut Hits<'_>) -> Result<bool, SqlError> {
        let (lower, upper) = (lower(hits.others), upper(hits.others));
        self.candidates(INDEXED, values![query, lower, upper], MAX_CANDIDATES, hits)
    }

    /// Examines at most `at_most` of the newest events with these row keys; returns whether there were no more.
    /// Conditions that the columns of the event table can decide are checked in SQL, before any JSON is read.
    fn candidates(
        &self,
        row_keys: &str,
        range: &[Value<'_>],
        at_most: u64,
        hits: &mut Hits<'_>,
    ) -> Result<bool, SqlError> {
        let Filter { authors, kinds, .. } = hits.others;
        let kinds = kinds.as_ref().map(|kinds| json_list(kinds.iter().map(ToString::to_string)));
        let authors = authors
            .as_ref()
            .map(|authors| json_list(authors.iter().map(|author| hex_string(author.as_bytes()))));
        // CROSS JOIN keeps SQLite from reordering the join, which follows the order of the row keys.
        let mut statement = format!(
            "SELECT e.json FROM ({row_keys} LIMIT ?) AS found CROSS JOIN event AS e ON e.seq = found.seq
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
        // The rows above are already filtered, so their number does not tell how many row keys there were.
        let more: Option<(u64,)> = self.sql.first(&format!("{row_keys} LIMIT 1 OFFSET ?"), &limited)?;
        Ok(is_whole && more.is_none())
    }
}

fn least(one: Completeness, other: Completeness) -> Completeness {
    if one == other { one } else { Completeness::Unknown }
}

/// The matches so far.
struct Hits<'a> {
    now: Timestamp,
    /// The filter without its search.
    others: &'a Filter,
    search: &'a Search,
    viewer: &'a Viewer<'a>,
    seen: BTreeSet<EventId>,
    matches: Vec<Match<Arc<str>>>,
    /// The bytes of JSON examined so far.
    bytes: usize,
}

impl Hits<'_> {
    /// Examines an event; breaks when a limit is reached.
    fn add(&mut self, json: &str) -> ControlFlow<()> {
        self.bytes = self.bytes.saturating_add(json.len());
        if self.matches.len() >= MAX_MATCHES || self.bytes > MAX_BYTES {
            return ControlFlow::Break(());
        }
        if let Ok(event) = Event::from_json(json)
            && self.others.matches(&event)
            && self.viewer.may_read(&event)
        {
            let text = SearchableText::of(&event);
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
