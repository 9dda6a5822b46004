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

/// How many events behind the mark a search goes through by itself. Of more, it says that it may have missed some.
const MAX_UNINDEXED: u64 = 2_048;

/// How many events of a filter are looked at one by one where its other conditions say which: fewer than an index is
/// worth asking for.
const MAX_BY_OTHER_CONDITIONS: u64 = 512;

/// How many events that have the words, the newest, are looked at for a filter; how many of them may match; and of how
/// many bytes they may be together.
const MAX_CANDIDATES: u64 = 4_000;
const MAX_MATCHES: usize = 1_000;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The row keys of a range, the newest first: of the events behind the mark, of those that came late, and of those that
/// the index finds. One bound only: of two, SQLite would take the first to begin with and go through all up to the
/// second.
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
    /// The best first.
    pub events: Vec<Arc<str>>,
    /// Whether these are all. That there are more is never said: a client that went on with the time of the oldest
    /// would skip some (NIP-67).
    pub completeness: Completeness,
}

impl<S: Sql> Store<S> {
    /// Hands over what is stored for filters. What is searched for comes first, filter by filter, the best first; then
    /// the rest, the newest first. Each event comes once.
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
        Ok(SearchResult { events, completeness })
    }

    /// Looks through the events of a filter whose other conditions are met by few, and says whether it was so.
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
            // Then the index of words is asked.
            Err(SqlError::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks through the events that are not in the index, and says whether it were all of them.
    fn unindexed(&self, hits: &mut Hits<'_>) -> Result<bool, SqlError> {
        let (lower, upper) = (lower(hits.others), upper(hits.others));
        let mut is_complete = true;
        for row_keys in [BEHIND, LATE] {
            is_complete &= self.candidates(row_keys, values![lower, upper], MAX_UNINDEXED, hits)?;
        }
        Ok(is_complete)
    }

    /// Looks through the events that the index finds, and says whether it were all of them.
    fn indexed(&self, query: &str, hits: &mut Hits<'_>) -> Result<bool, SqlError> {
        let (lower, upper) = (lower(hits.others), upper(hits.others));
        self.candidates(INDEXED, values![query, lower, upper], MAX_CANDIDATES, hits)
    }

    /// Looks through the newest events of these row keys, at most so many, and says whether it were all of them. What
    /// the table of events shows of the filter's conditions is held against them before their texts are read.
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
        // The join goes through the row keys in their order: CROSS JOIN forbids to turn it round.
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
        // How many row keys there were cannot be seen from what is left of them.
        let more: Option<(u64,)> = self.sql.first(&format!("{row_keys} LIMIT 1 OFFSET ?"), &limited)?;
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
