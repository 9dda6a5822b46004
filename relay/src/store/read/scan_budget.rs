//! The scan budget: how many rows a read may examine, whether or not they match.
//!
//! Two conditions can each match many events, but never the same ones. Then every row of the driving condition is
//! examined in vain, and each is compared with every value of the other tags. So look-ups are estimated before they
//! are made.

use openagents_host::sql::{Sql, SqlError};

use super::driver::Driver;
use super::plan::Plan;
use super::query::is_in_order;
use super::select::{QueryContext, Select, SelectBody, driving_table, lower, row_key};
use crate::store::Store;
use crate::store::statement::Statement;
use openagents_host::nostr::filter::Filter;

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

/// So many rows whose kind is compared cost as much as one look-up: the index by tag includes the kind.
const COMPARED_KINDS_PER_LOOK_UP: u64 = 25;

impl<S: Sql> Store<S> {
    /// How far back a `REQ` can scan. That is all the way if the database itself interrupts long reads, or if the rows
    /// are compared with nothing.
    pub(in crate::store) fn depth(
        &self,
        plan: Plan,
        filter: &Filter,
        context: &QueryContext<'_>,
        limit: u64,
        look_ups: u64,
    ) -> Result<ScanDepth, SqlError> {
        let whole = ScanDepth { lower: lower(filter), is_enough: true };
        let compares_authors = filter.authors.is_some() && plan.driver != Driver::Authors;
        let affordable = match affordable_rows(plan.driver, filter, context, look_ups) {
            _ if plan.is_small() || look_ups == u64::MAX || self.sql.is_limited() => return Ok(whole),
            Some(rows) => rows.max(1),
            None if compares_authors => look_ups.max(1),
            None => return Ok(whole),
        };
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
        let at_most = match affordable_rows(plan.driver, filter, context, look_ups) {
            Some(rows) if !plan.is_small() && look_ups != u64::MAX && !self.sql.is_limited() => rows,
            _ => return Ok(true),
        };
        let body = SelectBody::of(plan.driver, filter, context);
        let rows = DrivingRows { body, from: lower(filter), skipped: 0, at_most };
        Ok(self.count_rows(&rows.one_more())?.0 <= at_most)
    }

    /// Counts rows of a driving condition, and returns the greatest row key among them. This reads only the index, a
    /// small part of the work of examining the rows.
    pub(in crate::store) fn count_rows(&self, rows: &DrivingRows<'_>) -> Result<(u64, u64), SqlError> {
        let mut select = Statement::default();
        select.push("SELECT count(*), ifnull(max(seq), 0) FROM (SELECT ").push(row_key(rows.body.driver));
        select.push(" AS seq");
        rows.push(&mut select);
        select.push(")");
        Ok(self.sql.first(select.text(), &select.values())?.unwrap_or_default())
    }
}

/// How many rows of a driving condition may be examined, if they are compared with other tags or with kinds.
fn affordable_rows(
    driver: Driver,
    filter: &Filter,
    context: &QueryContext<'_>,
    look_ups: u64,
) -> Option<u64> {
    match weight(driver, filter, context) {
        1 if matches!(driver, Driver::Tag(_)) && filter.authors.is_none() => {
            filter.kinds.as_ref().map(|_| look_ups.saturating_mul(COMPARED_KINDS_PER_LOOK_UP))
        }
        1 => None,
        weight => look_ups.checked_div(weight),
    }
}

/// How many look-ups a row takes: one for itself, and one for each value of each other tag. Lists of authors and kinds
/// do not count: they are compared without look-ups.
pub(in crate::store) fn weight(driver: Driver, filter: &Filter, context: &QueryContext<'_>) -> u64 {
    let others = filter.tags.iter().filter(|(name, _)| driver != Driver::Tag(**name));
    let values = others.fold(1_usize, |sum, (_, values)| sum.saturating_add(values.len()));
    // If the filter names no kinds, few of the events are private, and only for those is the addressee looked up.
    let names_private = filter.kinds.is_some() && context.viewer.restricts(filter);
    let readers = if names_private { context.viewer.pubkeys.len() } else { 0 };
    u64::try_from(values.saturating_add(readers)).unwrap_or(u64::MAX)
}

/// Some rows of a filter's driving condition.
#[derive(Clone, Copy)]
pub(in crate::store) struct DrivingRows<'a> {
    pub(in crate::store) body: SelectBody<'a>,
    /// The lowest row key.
    pub(in crate::store) from: u64,
    /// How many rows are left out first.
    pub(in crate::store) skipped: u64,
    pub(in crate::store) at_most: u64,
}

impl DrivingRows<'_> {
    /// The same rows and the one behind them.
    pub(in crate::store) const fn one_more(self) -> Self {
        Self { at_most: self.at_most.saturating_add(1), ..self }
    }

    /// `FROM … WHERE …`.
    pub(in crate::store) fn push(&self, select: &mut Statement) {
        let driver = self.body.driver;
        select.push(" FROM ");
        self.body.push_values(select);
        select.push(driving_table(driver));
        select.push(" WHERE ");
        self.body.push_driving(select);
        if self.is_range_sought() {
            self.body.push_range(select, self.from);
        }
        if is_in_order(driver, self.body.filter) {
            select.push(" ORDER BY ").push(row_key(driver));
        }
        select.push(" LIMIT ? OFFSET ?").integer(self.at_most).integer(self.skipped);
    }

    /// Whether the index can seek to the time range of the filter. With authors alone it is ordered by kind first, so
    /// events of other times are examined as well.
    pub(in crate::store) fn is_range_sought(&self) -> bool {
        self.body.driver != Driver::Authors || self.body.filter.kinds.is_some()
    }
}
