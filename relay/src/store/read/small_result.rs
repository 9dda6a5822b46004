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

/// Of more rows, those that are not within the limit of a filter would be read for nothing, and the texts held at the
/// same time would be many.
pub(in crate::store) const MAX_SMALL_RESULT: u64 = 64;

/// Texts of events, in the order of answers.
pub(in crate::store) type Texts = Vec<Arc<str>>;

impl Select {
    /// Row key and JSON of all events of a condition, in no order. One that has two of the values comes twice.
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

    /// The same for a condition with at most so many rows. Has it more, they are only counted, and one row of NULLs
    /// says so.
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
        // Counting goes first in both halves, and no row of a table is asked for where it says no.
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
    /// The events of a filter whose likely rarest condition has few rows: then it is not compared with others. `None`
    /// where it has many, or where nothing says which one may be rare.
    pub(in crate::store) fn small_result_of_likely_rarest(
        &self,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        longest: usize,
    ) -> Result<Option<Texts>, SqlError> {
        let Some(driver @ Driver::Tag(name)) = Driver::small_result_of_likely_rarest(filter) else {
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

    /// The events of a plan that finds no more than fit into the answer. `None` where they may be more.
    pub(in crate::store) fn small_result(
        &self,
        plan: Plan,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        longest: usize,
    ) -> Result<Option<Texts>, SqlError> {
        if plan.rows.is_none_or(|rows| rows > limit.min(MAX_SMALL_RESULT)) {
            return Ok(None);
        }
        self.read_in_order(&Select::all_json(plan.driver, filter, context), longest)
    }

    /// What a statement finds, put into order, each event once. `None` if it says that there is too much, or if the
    /// texts are longer together than an answer can be: which ones belong to it is seen only where all are in order.
    fn read_in_order(&self, select: &Statement, longest: usize) -> Result<Option<Texts>, SqlError> {
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
