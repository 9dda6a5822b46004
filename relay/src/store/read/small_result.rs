//! Results small enough to be read in any order and sorted afterwards.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use openagents_host::sql::{Sql, SqlError};

use super::driver::Driver;
use super::plan::Plan;
use super::query::is_in_order;
use super::select::{QueryContext, Select, SelectBody, ValueSource, driving_table, lower, row_key, tables};
use crate::store::Store;
use crate::store::statement::Statement;
use openagents_host::nostr::filter::Filter;

/// With more rows, many would be read only to be cut off by the filter's limit, and their JSON would take too much
/// memory at once.
pub(in crate::store) const MAX_SMALL_RESULT: u64 = 64;

/// The JSON of events, in answer order.
pub(in crate::store) type EventTexts = Vec<Arc<str>>;

impl Select {
    /// Row key and JSON of all events of a condition, in no particular order. An event with two of the values appears
    /// twice.
    pub(in crate::store) fn all_json(
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
    ) -> Statement {
        let mut select = Statement::default();
        select.push("SELECT ").push(row_key(driver)).push(", e.json");
        let body = SelectBody { from: ValueSource::OneByOne, ..SelectBody::of(driver, filter, context) };
        body.push(&mut select, Some(lower(filter)));
        select
    }

    /// The same for a condition that may have at most `at_most` rows. If there are more, the rows are only counted,
    /// and a single row of NULLs is returned.
    pub(in crate::store) fn all_json_up_to(
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
        at_most: u64,
    ) -> Statement {
        let body = SelectBody { from: ValueSource::OneByOne, ..SelectBody::of(driver, filter, context) };
        let [mut values, mut condition, mut too_many] = <[Statement; 3]>::default();
        body.push_values(&mut values);
        body.push_driving(&mut condition);
        body.push_range(&mut condition, lower(filter));
        too_many.push("?").integer(at_most.saturating_add(1));

        let mut select = Statement::default();
        let [values, condition, too_many] = [values, condition, too_many].map(|part| select.bind(part));
        // In both halves the count comes first, so no table is read if it rules the half out.
        let counted = format!(
            "(SELECT count(*) AS n FROM (SELECT 1 FROM {values}{} WHERE {condition} LIMIT {too_many})) AS found",
            driving_table(driver),
        );
        select.push(&format!(
            "SELECT NULL, NULL FROM {counted} WHERE found.n = {too_many}
             UNION ALL
             SELECT {}, e.json FROM {counted} CROSS JOIN {values}{}
             WHERE found.n < {too_many} AND {condition}",
            row_key(driver),
            tables(driver),
        ));
        body.push_rest(&mut select);
        select
    }
}

impl<S: Sql> Store<S> {
    /// The events of a filter whose condition that is [probably the rarest](Driver::probably_rare) has
    /// few rows; no other conditions are compared then. `None` if it has many rows, or if no condition is likely to be
    /// rare.
    pub(in crate::store) fn small_result_if_rare(
        &self,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        longest: usize,
    ) -> Result<Option<EventTexts>, SqlError> {
        let Some(driver @ Driver::Tag(name)) = Driver::probably_rare(filter) else {
            return Ok(None);
        };
        let values = filter.tags.get(&name).map_or(0, |values| values.len());
        let is_alone = filter.tags.len() == 1 && filter.authors.is_none();
        let at_most = limit.min(MAX_SMALL_RESULT);
        if u64::try_from(values).is_ok_and(|values| values > at_most)
            || (is_alone && is_in_order(driver, filter))
        {
            return Ok(None);
        }
        self.read_in_order(&Select::all_json_up_to(driver, filter, context, at_most), longest)
    }

    /// The events of a plan that cannot find more than the answer may contain; `None` if it may.
    pub(in crate::store) fn small_result(
        &self,
        plan: Plan,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        longest: usize,
    ) -> Result<Option<EventTexts>, SqlError> {
        if plan.rows.is_none_or(|rows| rows > limit.min(MAX_SMALL_RESULT)) {
            return Ok(None);
        }
        self.read_in_order(&Select::all_json(plan.driver, filter, context), longest)
    }

    /// Runs a statement and sorts what it finds, each event once. `None` if the statement reports too many rows, or if
    /// the texts together exceed the size of an answer: which ones to drop is known only when all are sorted.
    fn read_in_order(&self, select: &Statement, longest: usize) -> Result<Option<EventTexts>, SqlError> {
        let mut found: Vec<(u64, Arc<str>)> = Vec::new();
        let mut left = Some(longest);
        self.sql.query(select.text(), &select.values(), &mut |row| {
            let Some(row_key) = row.column::<Option<u64>>(0)? else {
                left = None;
                return Ok(ControlFlow::Break(()));
            };
            let json: &str = row.column(1)?;
            left = left.and_then(|left| left.checked_sub(json.len()));
            if left.is_none() {
                return Ok(ControlFlow::Break(()));
            }
            found.push((row_key, json.into()));
            Ok(ControlFlow::Continue(()))
        })?;
        if left.is_none() {
            return Ok(None);
        }
        found.sort_unstable_by_key(|(row_key, _)| Reverse(*row_key));
        found.dedup_by_key(|(row_key, _)| *row_key);
        Ok(Some(found.into_iter().map(|(_, text)| text).collect()))
    }
}
