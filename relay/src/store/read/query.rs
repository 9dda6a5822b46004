//! The stored events that answer a `REQ`.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use openagents_host::sql::{NextRow, Sql, SqlError, values};
use openagents_host::{PublicKey, Timestamp};

use super::driver::Driver;
use super::plan::Plan;
use super::select::{self, BY_ROW_KEYS, MergeCursor, QueryContext, Select};
use crate::limits::Limits;
use crate::store::Store;
use crate::store::statement::{hex_string, json_list};
use crate::store::viewer::Viewer;
use openagents_host::nostr::filter::{Filter, OneOf};
use openagents_host::nostr::message::Completeness;
use openagents_host::nostr::tag::TagKey;

/// The most combinations of author and kind that are looked up one by one. If there are more, the kinds of which each
/// author has events are determined first.
const MAX_PAIRS: usize = 2_000;

impl<S: Sql> Store<S> {
    /// Calls `each` with the JSON of every stored event that matches any of the filters, once per event. Results of
    /// searches come first, the best first; then all others, the newest first and, within a second, the lowest id
    /// first. Each filter yields at most its own limit, and all together at most as many bytes as an answer may have.
    ///
    /// Returns whether these are all the events there are (NIP-67).
    ///
    /// # Errors
    /// When the database fails. `each` may have been called by then.
    pub fn query(
        &self,
        now: Timestamp,
        filters: &[Filter],
        limits: &Limits,
        viewer: &Viewer<'_>,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<Completeness, SqlError> {
        if filters.iter().any(|filter| filter.search.is_some()) {
            return self.query_with_searches(now, filters, limits, viewer, each);
        }
        let context = QueryContext { now, viewer };
        let mut answer =
            AnswerWriter { left: limits.max_answer_length, completeness: Completeness::Finished, each };
        if let [filter] = filters
            && let limit @ 1.. = limits.stored_events(filter)
            && !filter.matches_nothing()
            && !needs_viewer_filters(filter, &context)
        {
            if let Some(texts) = self.small_result_if_rare(filter, &context, limit, answer.left)? {
                return Ok(answer.all(texts, limit));
            }
            let plan = self.plan(filter, &context)?;
            if is_in_order(plan.driver, filter) || plan.is_small() {
                return self.newest_at_once(plan, filter, &context, limit, limits.max_look_ups, answer);
            }
        }
        // Without a limit, it stays so.
        let shares = u64::try_from(filters.len()).unwrap_or(u64::MAX).max(1);
        let look_ups = match limits.max_look_ups {
            u64::MAX => u64::MAX,
            look_ups => look_ups.checked_div(shares).unwrap_or(look_ups),
        };
        let mut row_keys = Vec::new();
        for filter in filters.iter().filter(|filter| !filter.matches_nothing()) {
            let limit = limits.stored_events(filter);
            if limit == 0 {
                // A client that wants no stored events does not learn whether there are any.
                answer.unknown();
                continue;
            }
            let Newest { row_keys: mut found, is_all } =
                self.newest(filter, &context, limit.saturating_add(1), look_ups)?;
            if !is_all {
                answer.unknown();
            }
            if u64::try_from(found.len()).is_ok_and(|found| found > limit) {
                found.pop();
                answer.completeness = Completeness::More;
            }
            row_keys.append(&mut found);
        }
        row_keys.sort_unstable_by_key(|row_key| Reverse(*row_key));
        row_keys.dedup();
        if !row_keys.is_empty() {
            let row_keys = json_list(row_keys.iter().map(ToString::to_string));
            self.sql.query(BY_ROW_KEYS, values![&row_keys], &mut |row| Ok(answer.add(row.column(0)?)))?;
        }
        Ok(answer.completeness)
    }

    /// Answers a filter whose driving rows are already in answer order, or are few enough to be sorted.
    fn newest_at_once(
        &self,
        plan: Plan,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        look_ups: u64,
        mut answer: AnswerWriter<'_>,
    ) -> Result<Completeness, SqlError> {
        let select = if is_in_order(plan.driver, filter) {
            let one_more = limit.saturating_add(1);
            let depth = self.depth(plan, filter, context, one_more, look_ups)?;
            if !depth.is_enough {
                answer.unknown();
            }
            Select::ordered("e.json", plan.driver, filter, context, depth.lower, one_more)
        } else if let Some(texts) = self.small_result(plan, filter, context, limit, answer.left)? {
            return Ok(answer.all(texts, limit));
        } else {
            Select::sorted_json(plan.driver, filter, context, limit.saturating_add(1))
        };
        let mut left = limit;
        self.sql.query(select.text(), &select.values(), &mut |row| {
            let Some(after) = left.checked_sub(1) else { return Ok(answer.cut()) };
            left = after;
            Ok(answer.add(row.column(0)?))
        })?;
        Ok(answer.completeness)
    }

    /// The row keys of a filter's newest events, in answer order.
    fn newest(
        &self,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        look_ups: u64,
    ) -> Result<Newest, SqlError> {
        if needs_viewer_filters(filter, context) {
            return self.newest_for_viewer(filter, context, limit, look_ups);
        }
        let plan = self.plan(filter, context)?;
        let mut is_all = true;
        let select = if is_in_order(plan.driver, filter) {
            let depth = self.depth(plan, filter, context, limit, look_ups)?;
            is_all = depth.is_enough;
            Select::ordered("e.seq", plan.driver, filter, context, depth.lower, limit)
        } else if plan.is_small() {
            Select::sorted(plan.driver, filter, context, limit)
        } else if self.is_affordable(plan, filter, context, look_ups)? {
            return Ok(Newest { row_keys: self.merge(plan.driver, filter, context, limit)?, is_all });
        } else {
            return Err(SqlError::Interrupted);
        };
        let row_keys: Vec<(u64,)> = self.sql.rows(select.text(), &select.values())?;
        let row_keys = row_keys.into_iter().map(|(row_key,)| row_key).collect();
        Ok(Newest { row_keys, is_all })
    }

    /// For private kinds: the newest events that the reader wrote or received. Those of others are not read.
    fn newest_for_viewer(
        &self,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        look_ups: u64,
    ) -> Result<Newest, SqlError> {
        let mut all = Newest { row_keys: Vec::new(), is_all: true };
        for filter in viewer_filters(filter, context) {
            let mut newest = self.newest(&filter, context, limit, look_ups)?;
            all.row_keys.append(&mut newest.row_keys);
            all.is_all &= newest.is_all;
        }
        all.row_keys.sort_unstable_by_key(|row_key| Reverse(*row_key));
        all.row_keys.dedup();
        all.row_keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(all)
    }

    /// The newest events of a condition with several values. First reads a few rows of each value. The oldest row that
    /// still fits the limit then bounds how far back to read for values that may have more.
    fn merge(
        &self,
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
    ) -> Result<Vec<u64>, SqlError> {
        let mut merged = Merged::default();
        let (lower, upper) = (select::lower(filter), select::upper(filter));
        match cursors(driver, filter, upper) {
            Some(cursors) => {
                let each = first_share(limit, cursors.len());
                let select = Select::cursors(driver, filter, context, &cursors, lower, each);
                let mut values = cursors.into_iter().map(|cursor| cursor.value);
                self.sql.query(select.text(), &select.values(), &mut |row| {
                    merged.add(values.next().unwrap_or_default(), row.column(0)?, each)
                })?;
            }
            None => {
                let authors = filter.authors.clone().unwrap_or_default();
                let each = first_share(limit, authors.len());
                let select = Select::cursors_of_authors(filter, &authors, context, lower, upper, each);
                self.sql.query(select.text(), &select.values(), &mut |row| {
                    let value = format!("\"{}\",{}", row.column::<&str>(0)?, row.column::<u64>(1)?);
                    merged.add(value, row.column(2)?, each)
                })?;
            }
        }
        let limit_length = usize::try_from(limit).unwrap_or(usize::MAX);
        merged.keep_newest(limit_length);
        let oldest_needed = match merged.row_keys.last() {
            Some(last) if merged.row_keys.len() >= limit_length => *last,
            _ => lower,
        };
        merged.unfinished.retain(|cursor| cursor.upper >= oldest_needed);
        let unfinished = std::mem::take(&mut merged.unfinished);
        if !unfinished.is_empty() {
            let select = Select::cursors(driver, filter, context, &unfinished, oldest_needed, limit);
            self.sql.query(select.text(), &select.values(), &mut |row| {
                merged.add(String::new(), row.column(0)?, u64::MAX)
            })?;
            merged.keep_newest(limit_length);
        }
        Ok(merged.row_keys)
    }
}

/// The row keys of a filter's newest events.
struct Newest {
    row_keys: Vec<u64>,
    /// Whether no older rows were skipped that the limit leaves room for.
    is_all: bool,
}

/// The rows that the merge cursors have returned so far.
#[derive(Default)]
struct Merged {
    row_keys: Vec<u64>,
    /// Cursors that returned as many rows as requested and may have more.
    unfinished: Vec<MergeCursor>,
}

impl Merged {
    /// Adds the row keys that the cursor for this value returned when at most `each` were requested.
    fn add(&mut self, value: String, json: &str, each: u64) -> NextRow {
        let found: Vec<u64> = serde_json::from_str(json)
            .map_err(|error| SqlError::Statement(format!("a list of row keys is not JSON: {error}")))?;
        if let Some(last) = found.iter().min()
            && u64::try_from(found.len()).is_ok_and(|found| found >= each)
        {
            self.unfinished.push(MergeCursor { value, upper: last.saturating_sub(1) });
        }
        self.row_keys.extend(found);
        Ok(ControlFlow::Continue(()))
    }

    fn keep_newest(&mut self, limit: usize) {
        self.row_keys.sort_unstable_by_key(|row_key| Reverse(*row_key));
        // An event can have several of the values.
        self.row_keys.dedup();
        self.row_keys.truncate(limit);
    }
}

/// Whether every event of this filter is private, and the filter does not restrict itself to the reader's own.
pub(in crate::store) fn needs_viewer_filters(filter: &Filter, context: &QueryContext<'_>) -> bool {
    context.viewer.restricts_all(filter)
        && filter.ids.is_none()
        && filter.authors.is_none()
        && !filter.tags.keys().any(|name| name.letter() == 'p')
}

/// The same filter restricted to [what the reader may read](needs_viewer_filters): events that the reader wrote, then
/// events addressed to the reader. An event can match both.
pub(in crate::store) fn viewer_filters(filter: &Filter, context: &QueryContext<'_>) -> Vec<Filter> {
    let readers: OneOf<PublicKey> = context.viewer.pubkeys.iter().copied().collect();
    if readers.is_empty() {
        return Vec::new();
    }
    let addressed = readers.iter().map(PublicKey::to_hex);
    let to_them = filter.clone().tag('p', addressed).unwrap_or_else(|_| filter.clone());
    vec![Filter { authors: Some(readers), ..filter.clone() }, to_them]
}

/// Whether the rows of this condition are in answer order.
pub(in crate::store) fn is_in_order(driver: Driver, filter: &Filter) -> bool {
    let is_one = |values: Option<usize>| values == Some(1);
    let (authors, kinds) = (filter.authors.as_ref().map(OneOf::len), filter.kinds.as_ref().map(OneOf::len));
    match driver {
        Driver::Ids => false,
        Driver::Time => true,
        Driver::Tag(name) => is_one(filter.tags.get(&name).map(OneOf::len)),
        Driver::Authors => is_one(authors) && is_one(kinds),
        Driver::Kinds => is_one(kinds),
    }
}

/// A merge cursor for each value of a condition; `None` if the values are unknown or too many.
fn cursors(driver: Driver, filter: &Filter, upper: u64) -> Option<Vec<MergeCursor>> {
    let cursor = |value: String| MergeCursor { value, upper };
    match driver {
        Driver::Tag(name) => {
            let values = filter.tags.get(&name)?.iter();
            Some(values.map(|value| cursor(hex_string(TagKey::new(name, value).as_bytes()))).collect())
        }
        Driver::Kinds => Some(filter.kinds.as_ref()?.iter().map(|kind| cursor(kind.to_string())).collect()),
        Driver::Authors => {
            let (authors, kinds) = (filter.authors.as_ref()?, filter.kinds.as_ref()?);
            if authors.len().saturating_mul(kinds.len()) > MAX_PAIRS {
                return None;
            }
            let pair = |author: &PublicKey| {
                let author = hex_string(author.as_bytes());
                kinds.iter().map(move |kind| cursor(format!("{author},{kind}")))
            };
            Some(authors.iter().flat_map(pair).collect())
        }
        Driver::Ids | Driver::Time => None,
    }
}

/// How many events of each value to read at first: somewhat more than its share if all had equally many.
fn first_share(limit: u64, cursors: usize) -> u64 {
    let cursors = u64::try_from(cursors).unwrap_or(u64::MAX).max(1);
    limit.div_ceil(cursors).saturating_mul(2).clamp(4, limit.max(4))
}

/// Writes an answer and keeps within its size.
struct AnswerWriter<'a> {
    left: usize,
    completeness: Completeness,
    each: &'a mut dyn FnMut(Arc<str>),
}

impl AnswerWriter<'_> {
    fn add(&mut self, json: &str) -> ControlFlow<()> {
        let Some(left) = self.left.checked_sub(json.len()) else { return self.cut() };
        self.left = left;
        (self.each)(json.into());
        ControlFlow::Continue(())
    }

    /// Sends all texts; their total size has been checked already.
    fn all(mut self, texts: Vec<Arc<str>>, limit: u64) -> Completeness {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if texts.len() > limit {
            // Some were inserted after the rows had been counted.
            self.completeness = Completeness::More;
        }
        texts.into_iter().take(limit).for_each(self.each);
        self.completeness
    }

    fn unknown(&mut self) {
        if self.completeness == Completeness::Finished {
            self.completeness = Completeness::Unknown;
        }
    }

    fn cut(&mut self) -> ControlFlow<()> {
        self.completeness = Completeness::More;
        ControlFlow::Break(())
    }
}
