//! The scan budget: a bound on how many rows a read examines, whether or not they match.
//!
//! Two conditions can each match many events, but never the same ones. Then every row of the driving condition is
//! examined in vain, and each is compared with every value of the other tags. So look-ups are estimated before they
//! are made.

use openagents_host::sql::{Sql, SqlError};

use super::driver::Driver;
use super::plan::Plan;
use super::select::{QueryContext, Select, SelectBody, driving_table, lower, row_key};
use crate::store::Store;
use crate::store::statement::Statement;
use openagents_host::nostr::filter::Filter;

/// The look-ups that a read may still make.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct ScanBudget {
    left: u64,
}

/// How many rows of a filter's driving condition the budget covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum ScanBound {
    /// All of them.
    Whole,
    /// Only this many.
    Rows(u64),
}

impl ScanBudget {
    pub(in crate::store) const fn of(look_ups: u64) -> Self {
        Self { left: look_ups }
    }

    /// Spends the look-ups that a filter needs, or all that are left if it needs more.
    pub(in crate::store) fn spend<S: Sql>(
        &mut self,
        store: &Store<S>,
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
    ) -> Result<ScanBound, SqlError> {
        let weight = weight(driver, filter, context);
        let affordable = self.left.checked_div(weight).unwrap_or(0);
        let select = driving_rows(driver, filter, context, affordable.saturating_add(1));
        let rows: Option<(u64,)> = store.sql.first(select.text(), &select.values())?;
        let rows = rows.map_or(0, |(rows,)| rows);
        if rows > affordable {
            self.left = 0;
            return Ok(ScanBound::Rows(affordable));
        }
        self.left = self.left.saturating_sub(rows.saturating_mul(weight));
        Ok(ScanBound::Whole)
    }
}

/// How far back a `REQ` scans a condition whose rows are in answer order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct ScanDepth {
    /// The last row key to examine.
    pub(in crate::store) lower: u64,
    /// Whether this covers the filter's whole range, or enough of it to reach the limit.
    pub(in crate::store) is_enough: bool,
}

/// This many rows are tried per requested event before the cost of the scan is computed.
const ROWS_PER_WANTED_EVENT: u64 = 4;

impl<S: Sql> Store<S> {
    /// How far back a `REQ` can scan. That is all the way if the database itself interrupts long reads, or if the rows
    /// are not compared with other tags.
    pub(in crate::store) fn depth(
        &self,
        plan: Plan,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        look_ups: u64,
    ) -> Result<ScanDepth, SqlError> {
        let whole = ScanDepth { lower: lower(filter), is_enough: true };
        let weight = weight(plan.driver, filter, context);
        if weight == 1 || plan.is_small() || look_ups == u64::MAX || self.sql.is_limited() {
            return Ok(whole);
        }
        let affordable = look_ups.checked_div(weight).unwrap_or(1).max(1);
        let first_rows = limit.saturating_mul(ROWS_PER_WANTED_EVENT).min(affordable);
        let Some(first) = self.row_from_the_end(plan.driver, filter, context, first_rows)? else {
            return Ok(whole);
        };
        let select = Select::ordered("1", plan.driver, filter, context, first, limit);
        let found = self.sql.rows::<(u64,)>(select.text(), &select.values())?;
        if u64::try_from(found.len()).is_ok_and(|found| found >= limit) {
            return Ok(ScanDepth { lower: first, is_enough: true });
        }
        let last = self.row_from_the_end(plan.driver, filter, context, affordable)?;
        Ok(last.map_or(whole, |lower| ScanDepth { lower, is_enough: false }))
    }

    /// The row key of the `rows`th newest driving row; `None` if there are fewer.
    fn row_from_the_end(
        &self,
        driver: Driver,
        filter: &Filter,
        context: &QueryContext<'_>,
        rows: u64,
    ) -> Result<Option<u64>, SqlError> {
        let mut select = Statement::default();
        select.push("SELECT ").push(row_key(driver)).push(" FROM ").push(driving_table(driver));
        select.push(" WHERE ");
        let body = SelectBody::of(driver, filter, context);
        body.push_driving(&mut select);
        body.push_range(&mut select, lower(filter));
        select
            .push(" ORDER BY ")
            .push(row_key(driver))
            .push(" DESC LIMIT 1 OFFSET ?")
            .integer(rows.saturating_sub(1));
        let row: Option<(u64,)> = self.sql.first(select.text(), &select.values())?;
        Ok(row.map(|(row_key,)| row_key))
    }

    /// Whether the look-ups of a `REQ` suffice for all rows of a condition with several values.
    pub(in crate::store) fn is_affordable(
        &self,
        plan: Plan,
        filter: &Filter,
        context: &QueryContext<'_>,
        look_ups: u64,
    ) -> Result<bool, SqlError> {
        if weight(plan.driver, filter, context) == 1
            || plan.is_small()
            || look_ups == u64::MAX
            || self.sql.is_limited()
        {
            return Ok(true);
        }
        Ok(ScanBudget::of(look_ups).spend(self, plan.driver, filter, context)? == ScanBound::Whole)
    }
}

/// How many look-ups a row takes: one for itself, and one for each value of each other tag. Lists of authors and kinds
/// do not count: they are compared without look-ups.
fn weight(driver: Driver, filter: &Filter, context: &QueryContext<'_>) -> u64 {
    let others = filter.tags.iter().filter(|(name, _)| driver != Driver::Tag(**name));
    let values = others.fold(1_usize, |sum, (_, values)| sum.saturating_add(values.len()));
    // If the filter names no kinds, few of the events are private, and only for those is the addressee looked up.
    let names_private = filter.kinds.is_some() && context.viewer.restricts(filter);
    let readers = if names_private { context.viewer.pubkeys.len() } else { 0 };
    u64::try_from(values.saturating_add(readers)).unwrap_or(u64::MAX)
}

/// Counts the rows of the driving condition, up to a maximum. This reads only the index, a small part of the work of
/// examining the rows.
fn driving_rows(driver: Driver, filter: &Filter, context: &QueryContext<'_>, at_most: u64) -> Statement {
    let mut select = Statement::default();
    select.push("SELECT count(*) FROM (SELECT 1");
    push_driving_rows(&mut select, &SelectBody::of(driver, filter, context), at_most);
    select.push(")");
    select
}

/// The row keys of the matching events among the first rows of a driving condition.
pub(in crate::store) fn row_keys(
    driver: Driver,
    filter: &Filter,
    context: &QueryContext<'_>,
    rows: u64,
) -> Statement {
    let body = SelectBody::of(driver, filter, context);
    let mut select = Statement::default();
    select.push("SELECT DISTINCT ").push(row_key(driver)).push(" FROM (SELECT ");
    // The rest of the statement refers to a tag as `t` and to an event as `e`.
    let (columns, name) = match driver {
        Driver::Tag(_) => ("t.seq, t.kind", "t"),
        _ => ("e.seq", "found"),
    };
    select.push(columns);
    push_driving_rows(&mut select, &body, rows);
    select
        .push(") AS ")
        .push(name)
        .push(" CROSS JOIN event AS e ON e.seq = ")
        .push(name)
        .push(".seq WHERE true");
    if !is_range_sought(driver, filter) {
        body.push_range(&mut select, lower(filter));
    }
    body.push_rest(&mut select);
    select
}

fn push_driving_rows(select: &mut Statement, body: &SelectBody<'_>, at_most: u64) {
    let SelectBody { driver, filter, .. } = *body;
    select.push(" FROM ");
    body.push_values(select);
    select.push(driving_table(driver));
    select.push(" WHERE ");
    body.push_driving(select);
    if is_range_sought(driver, filter) {
        body.push_range(select, lower(filter));
    }
    select.push(" LIMIT ?").integer(at_most);
}

/// Whether the index can seek to the time range of a filter. With authors alone it is ordered by kind first, so events
/// of other times are examined as well.
fn is_range_sought(driver: Driver, filter: &Filter) -> bool {
    driver != Driver::Authors || filter.kinds.is_some()
}
