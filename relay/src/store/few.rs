//! Events that are few enough to be read at once, in whatever order they are found, and put into order afterwards.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use openagents_host::sql::{Sql, SqlError};

use super::Store;
use super::plan::{Driver, Plan};
use super::query::is_in_order;
use super::select::{Body, Reader, Select, Values, driving_table, lower, place, tables};
use super::statement::Statement;
use crate::filter::Filter;

/// Of more rows, those that are not within the limit of a filter would be read for nothing, and the texts held at the same
/// time would be many.
pub(super) const MOST_AT_ONCE: u64 = 64;

/// Texts of events, in the order of answers.
pub(super) type Texts = Vec<Arc<str>>;

impl Select {
    /// Place and JSON of all events of a condition, in no order. One that has two of the values comes twice.
    pub(super) fn at_once(driver: Driver, filter: &Filter, reader: &Reader<'_>) -> Statement {
        let mut select = Statement::default();
        select.push("SELECT ").push(place(driver)).push(", e.json");
        let body = Body { from: Values::OneByOne, ..Body::of(driver, filter, reader) };
        body.push(&mut select, Some(lower(filter)));
        select
    }

    /// The same for a condition with at most so many rows. Has it more, they are only counted, and one row of NULLs
    /// says so.
    pub(super) fn at_once_if_few(
        driver: Driver,
        filter: &Filter,
        reader: &Reader<'_>,
        at_most: u64,
    ) -> Statement {
        let body = Body { from: Values::OneByOne, ..Body::of(driver, filter, reader) };
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
            place(driver),
            tables(driver),
        ));
        body.push_rest(&mut select);
        select
    }
}

impl<S: Sql> Store<S> {
    /// The events of a filter whose likely rarest condition has few rows: then it is not compared with others. `None` where
    /// it has many, or where nothing says which one may be rare.
    pub(super) fn likely_few(
        &self,
        filter: &Filter,
        reader: &Reader<'_>,
        limit: u64,
        longest: usize,
    ) -> Result<Option<Texts>, SqlError> {
        let Some(driver @ Driver::Tag(name)) = Driver::likely_few(filter) else { return Ok(None) };
        let values = filter.tags.get(&name).map_or(0, |values| values.len());
        let is_alone = filter.tags.len() == 1 && filter.authors.is_none();
        let at_most = limit.min(MOST_AT_ONCE);
        if u64::try_from(values).is_ok_and(|values| values > at_most)
            || (is_alone && is_in_order(driver, filter))
        {
            return Ok(None);
        }
        self.texts(&Select::at_once_if_few(driver, filter, reader, at_most), longest)
    }

    /// The events of a plan that finds no more than fit into the answer. `None` where they may be more.
    pub(super) fn few_at_once(
        &self,
        plan: Plan,
        filter: &Filter,
        reader: &Reader<'_>,
        limit: u64,
        longest: usize,
    ) -> Result<Option<Texts>, SqlError> {
        if plan.rows.is_none_or(|rows| rows > limit.min(MOST_AT_ONCE)) {
            return Ok(None);
        }
        self.texts(&Select::at_once(plan.driver, filter, reader), longest)
    }

    /// What a statement finds, put into order, each event once. `None` if it says that there is too much, or if the texts
    /// are longer together than an answer can be: which ones belong to it is seen only where all are in order.
    fn texts(&self, select: &Statement, longest: usize) -> Result<Option<Texts>, SqlError> {
        let mut found: Vec<(u64, Arc<str>)> = Vec::new();
        let mut left = Some(longest);
        self.sql.query(select.text(), &select.values(), &mut |row| {
            let Some(place) = row.column::<Option<u64>>(0)? else {
                left = None;
                return Ok(ControlFlow::Break(()));
            };
            let json: &str = row.column(1)?;
            left = left.and_then(|left| left.checked_sub(json.len()));
            if left.is_none() {
                return Ok(ControlFlow::Break(()));
            }
            found.push((place, json.into()));
            Ok(ControlFlow::Continue(()))
        })?;
        if left.is_none() {
            return Ok(None);
        }
        found.sort_unstable_by_key(|(place, _)| Reverse(*place));
        found.dedup_by_key(|(place, _)| *place);
        Ok(Some(found.into_iter().map(|(_, text)| text).collect()))
    }
}
