//! The query plan: which condition of a filter finds the rows. The other conditions only filter them.

use std::ops::ControlFlow;

use openagents_host::sql::{Sql, SqlError};

use super::driver::{Driver, MAX_PROBED_ROWS};
use super::select::{QueryContext, Select, SelectBody, driving_table, lower};
use crate::store::Store;
use crate::store::statement::Statement;
use openagents_host::nostr::filter::Filter;

/// How the rows of a filter are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Plan {
    pub(in crate::store) driver: Driver,
    /// The most rows there can be, if known.
    pub(in crate::store) rows: Option<u64>,
}

/// With this many rows or fewer, reading them is cheaper than counting the rows of another condition.
pub(in crate::store) const ROWS_NOT_WORTH_COUNTING: u64 = 32;

impl Plan {
    /// Whether there are known to be fewer rows than [`MAX_PROBED_ROWS`], or not many more than the filter has values.
    /// Then the order in which they are found does not matter.
    pub(in crate::store) const fn is_small(self) -> bool {
        self.rows.is_some()
    }
}

impl Select {
    /// A statement with one column per candidate: the number of rows it finds, counted up to [`MAX_PROBED_ROWS`]. The
    /// columns of the others are NULL if the first finds at most [`ROWS_NOT_WORTH_COUNTING`].
    pub(in crate::store) fn probe(
        first: Driver,
        others: &[Driver],
        filter: &Filter,
        context: &QueryContext<'_>,
    ) -> Statement {
        let mut probe = Statement::default();
        probe.push("SELECT first.n");
        for driver in others {
            probe.push(", CASE WHEN first.n > ? THEN (").integer(ROWS_NOT_WORTH_COUNTING);
            Self::probed(&mut probe, *driver, filter, context);
            probe.push(") END");
        }
        probe.push(" FROM (");
        Self::probed(&mut probe, first, filter, context);
        probe.push(") AS first");
        probe
    }

    fn probed(probe: &mut Statement, driver: Driver, filter: &Filter, context: &QueryContext<'_>) {
        probe.push("SELECT count(*) AS n FROM (SELECT 1 FROM ");
        let body = SelectBody::of(driver, filter, context);
        body.push_values(probe);
        probe.push(driving_table(driver));
        probe.push(" WHERE ");
        body.push_driving(probe);
        // With authors alone, the index is not ordered by time, so a time range could take a long scan.
        if driver != Driver::Authors || filter.kinds.is_some() {
            body.push_range(probe, lower(filter));
        }
        probe.push(" LIMIT ?)").integer(MAX_PROBED_ROWS);
    }
}

impl<S: Sql> Store<S> {
    /// Chooses the condition that finds the fewest rows. If there are several candidates, one statement counts their
    /// rows up to [`MAX_PROBED_ROWS`]; the others are skipped if the first has [few enough](ROWS_NOT_WORTH_COUNTING).
    /// If all reach the maximum, the first is taken.
    pub(in crate::store) fn plan(
        &self,
        filter: &Filter,
        context: &QueryContext<'_>,
    ) -> Result<Plan, SqlError> {
        let candidates = Driver::candidates(filter);
        let Some((first, others)) = candidates.split_first() else {
            return Ok(Plan { driver: Driver::Time, rows: None });
        };
        let known = first.known_rows(filter);
        if others.is_empty() || known.is_some_and(|rows| rows <= ROWS_NOT_WORTH_COUNTING) {
            return Ok(Plan { driver: *first, rows: known });
        }
        let probe = Select::probe(*first, others, filter, context);
        let mut fewest = (u64::MAX, *first);
        self.sql.query(probe.text(), &probe.values(), &mut |row| {
            for (index, driver) in candidates.iter().enumerate() {
                if let Some(rows) = row.column::<Option<u64>>(index)?
                    && rows < fewest.0
                {
                    fewest = (rows, *driver);
                }
            }
            Ok(ControlFlow::Break(()))
        })?;
        let (rows, driver) = fewest;
        Ok(Plan { driver, rows: (rows < MAX_PROBED_ROWS).then_some(rows) })
    }

    /// The driving condition of the [`plan`](Self::plan).
    pub(in crate::store) fn driver(
        &self,
        filter: &Filter,
        context: &QueryContext<'_>,
    ) -> Result<Driver, SqlError> {
        self.plan(filter, context).map(|plan| plan.driver)
    }
}
