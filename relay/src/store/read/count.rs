//! `COUNT`, and iteration over matching events in no order.

use std::borrow::Cow;
use std::ops::ControlFlow;

use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::sql::{Sql, SqlError};
use openagents_host::{EventId, PublicKey, Timestamp};

use super::query::{needs_parties, parties};
use super::scan_budget::{self, ScanBound, ScanBudget};
use super::select::{QueryContext, Select};
use crate::store::Store;
use crate::store::viewer::Viewer;
use openagents_host::nostr::filter::Filter;

/// How many stored events match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCount {
    /// So many were counted.
    pub count: u64,
    /// Counting ended early: there are at least so many (NIP-45, `approximate`).
    pub approximate: bool,
}

/// What of the stored events was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All that match.
    All,
    /// Not all: too many match, or too many would have to be looked at.
    Part,
}

impl<S: Sql> Store<S> {
    /// How many stored events match any of the filters, each counted once. Limits of filters play no part. So many
    /// look-ups are made at most ([`max_look_ups`](crate::Limits::max_look_ups)).
    ///
    /// # Errors
    /// When the database fails.
    pub fn count(
        &self,
        now: Timestamp,
        filters: &[Filter],
        viewer: &Viewer<'_>,
        look_ups: u64,
    ) -> Result<StoredCount, SqlError> {
        let context = QueryContext { now, viewer };
        let mut budget = ScanBudget::of(look_ups);
        let filters = filters.iter().filter(|filter| !filter.matches_nothing());
        let filters: Vec<Cow<'_, Filter>> = filters.flat_map(|filter| of_parties(filter, &context)).collect();
        let mut approximate = false;
        let mut row_keys = Vec::new();
        for filter in &filters {
            let driver = self.driver(filter, &context)?;
            let select = match budget.spend(self, driver, filter, &context)? {
                ScanBound::Whole if filters.len() == 1 => {
                    let select = Select::count(driver, filter, &context, MAX_CREATED_AT);
                    let count: Option<(u64,)> = self.sql.first(select.text(), &select.values())?;
                    return Ok(StoredCount { count: count.map_or(0, |(count,)| count), approximate });
                }
                ScanBound::Whole => Select::all("e.seq", driver, filter, &context, MAX_CREATED_AT),
                ScanBound::Rows(rows) => {
                    approximate = true;
                    scan_budget::row_keys(driver, filter, &context, rows)
                }
            };
            self.sql.query(select.text(), &select.values(), &mut |row| {
                row_keys.push(row.column::<u64>(0)?);
                Ok(ControlFlow::Continue(()))
            })?;
            row_keys.sort_unstable();
            row_keys.dedup();
            if approximate {
                break;
            }
        }
        Ok(StoredCount { count: u64::try_from(row_keys.len()).unwrap_or(u64::MAX), approximate })
    }

    /// Hands id, author and second of the stored events that match to `each`, in no order and each once, at most so
    /// many; of those for which more look-ups would have to be made than these, none. The filter's limit plays no part.
    ///
    /// # Errors
    /// When the database fails. Some events may have been handed over before.
    pub fn each_match(
        &self,
        now: Timestamp,
        filter: &Filter,
        viewer: &Viewer<'_>,
        at_most: u64,
        look_ups: u64,
        each: &mut dyn FnMut(&EventId, &PublicKey, u64),
    ) -> Result<Coverage, SqlError> {
        if filter.matches_nothing() {
            return Ok(Coverage::All);
        }
        let context = QueryContext { now, viewer };
        let mut budget = ScanBudget::of(look_ups);
        let (mut found, mut coverage) = (0_u64, Coverage::All);
        for (number, filter) in of_parties(filter, &context).iter().enumerate() {
            let driver = self.driver(filter, &context)?;
            if budget.spend(self, driver, filter, &context)? != ScanBound::Whole {
                return Ok(Coverage::Part);
            }
            // What was found before may be among these once more.
            let limit = at_most.saturating_add(found).saturating_add(1);
            let select = Select::all("e.id, e.pubkey, e.created_at", driver, filter, &context, limit);
            self.sql.query(select.text(), &select.values(), &mut |row| {
                let author: PublicKey = row.column(1)?;
                if number > 0 && viewer.pubkeys.contains(&author) {
                    return Ok(ControlFlow::Continue(()));
                }
                if found >= at_most {
                    coverage = Coverage::Part;
                    return Ok(ControlFlow::Break(()));
                }
                found = found.saturating_add(1);
                each(&row.column(0)?, &author, row.column(2)?);
                Ok(ControlFlow::Continue(()))
            })?;
            if coverage == Coverage::Part {
                break;
            }
        }
        Ok(coverage)
    }
}

/// The filter itself, or those of the [parties]: what others have written to each other is not read.
fn of_parties<'a>(filter: &'a Filter, context: &QueryContext<'_>) -> Vec<Cow<'a, Filter>> {
    if needs_parties(filter, context) {
        parties(filter, context).into_iter().map(Cow::Owned).collect()
    } else {
        vec![Cow::Borrowed(filter)]
    }
}
