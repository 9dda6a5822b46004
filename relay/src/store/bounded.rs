//! How many rows a question makes the store look at, whatever it finds.
//!
//! Two conditions can each be common and never hold together. Then every row that the driving one finds is looked at
//! for nothing, and each is held against every value of the other tags. So the work is counted in look-ups, before it
//! is done.

use openagents_host::sql::{Sql, SqlError};

use super::Store;
use super::plan::Driver;
use super::select::{Body, Reader, lower, place, tables};
use super::statement::Statement;
use crate::filter::Filter;

/// How many look-ups are left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    left: u64,
}

/// What of a filter's driving condition is within the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All of its rows.
    Whole,
    /// Only so many.
    Rows(u64),
}

impl Budget {
    pub(super) const fn of(look_ups: u64) -> Self {
        Self { left: look_ups }
    }

    /// Takes the look-ups that a filter needs, as far as there are any.
    pub(super) fn spend<S: Sql>(
        &mut self,
        store: &Store<S>,
        driver: Driver,
        filter: &Filter,
        reader: &Reader<'_>,
    ) -> Result<Reach, SqlError> {
        let weight = weight(driver, filter, reader);
        let affordable = self.left.checked_div(weight).unwrap_or(0);
        let select = driving_rows(driver, filter, reader, affordable.saturating_add(1));
        let rows: Option<(u64,)> = store.sql.first(select.text(), &select.values())?;
        let rows = rows.map_or(0, |(rows,)| rows);
        if rows > affordable {
            self.left = 0;
            return Ok(Reach::Rows(affordable));
        }
        self.left = self.left.saturating_sub(rows.saturating_mul(weight));
        Ok(Reach::Whole)
    }
}

/// How many look-ups a row takes: its own, and one for each value of each tag that it is held against. Lists of authors
/// and kinds are looked up at once.
fn weight(driver: Driver, filter: &Filter, reader: &Reader<'_>) -> u64 {
    let others = filter.tags.iter().filter(|(name, _)| driver != Driver::Tag(**name));
    let values = others.fold(1_usize, |sum, (_, values)| sum.saturating_add(values.len()));
    let readers = if reader.viewer.restricts(filter) { reader.viewer.pubkeys.len() } else { 0 };
    u64::try_from(values.saturating_add(readers)).unwrap_or(u64::MAX)
}

/// How many rows the driving condition has, counted up to a number. They are counted in its index alone, which is a small
/// part of the work of looking at them.
fn driving_rows(driver: Driver, filter: &Filter, reader: &Reader<'_>, at_most: u64) -> Statement {
    let mut select = Statement::default();
    select.push("SELECT count(*) FROM (SELECT 1");
    push_driving_rows(&mut select, &Body { driver, filter, reader, cursor: false }, at_most);
    select.push(")");
    select
}

/// The places of the matching events among the first rows of a driving condition.
pub(super) fn places(driver: Driver, filter: &Filter, reader: &Reader<'_>, rows: u64) -> Statement {
    let body = Body { driver, filter, reader, cursor: false };
    let mut select = Statement::default();
    select.push("SELECT DISTINCT ").push(place(driver)).push(" FROM (SELECT ");
    // The rest of the statement calls a tag `t` and an event `e`.
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

fn push_driving_rows(select: &mut Statement, body: &Body<'_>, at_most: u64) {
    let Body { driver, filter, .. } = *body;
    select.push(" FROM ");
    body.push_values(select);
    select.push(match driver {
        Driver::Tag(_) => "tag AS t",
        driver => tables(driver),
    });
    select.push(" WHERE ");
    body.push_driving(select);
    if is_range_sought(driver, filter) {
        body.push_range(select, lower(filter));
    }
    select.push(" LIMIT ?").integer(at_most);
}

/// Whether the index leads to the time that a filter wants. With authors alone it is in the order of their kinds: what
/// is of another time is looked at as well.
fn is_range_sought(driver: Driver, filter: &Filter) -> bool {
    driver != Driver::Authors || filter.kinds.is_some()
}
