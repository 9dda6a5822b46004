//! `COUNT` (NIP-45), and iteration over matching events in no particular order.

use std::borrow::Cow;
use std::ops::ControlFlow;

use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::sql::{Sql, SqlError};
use openagents_host::{EventId, PublicKey, Timestamp};

use super::query::{needs_viewer_filters, viewer_filters};
use super::scan_budget::{self, ScanBound, ScanBudget};
use super::select::{QueryContext, Select};
use crate::store::Store;
use crate::store::viewer::Viewer;
use openagents_host::nostr::filter::Filter;

/// How many stored events match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCount {
    /// The number of events that were counted.
    pub count: u64,
    /// Counting stopped early: `count` is a lower bound (`approximate` in NIP-45).
    pub approximate: bool,
}

/// How many of the matching events were passed to the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// All of them.
    All,
    /// Only some: too many match, or too many rows would have to be examined.
    Part,
}

impl<S: Sql> Store<S> {
    /// Counts the stored events that match any of the filters; an event that matches several is counted once. The
    /// filters' `limit` is ignored. Makes at most `look_ups` look-ups (see
    /// [`max_look_ups`](crate::Limits::max_look_ups)).
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
        let filters: Vec<Cow<'_, Filter>> =
            filters.flat_map(|filter| readable_filters(filter, &context)).collect();
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

    /// Calls `each` with the id, author and creation time (Unix seconds) of every stored event that matches, once per
    /// event, in no particular order, for at most `at_most` events. If that takes more than `look_ups` look-ups, only
    /// some of them are read. The filter's `limit` is ignored.
    ///
    /// # Errors
    /// When the database fails. `each` may have been called by then.
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
        for (number, filter) in readable_filters(filter, &context).iter().enumerate() {
            let driver = self.driver(filter, &context)?;
            if budget.spend(self, driver, filter, &context)? != ScanBound::Whole {
                return Ok(Coverage::Part);
            }
            // These may include events that were found before.
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

/// The filter itself or, if it may match private events of others, filters for what the reader wrote and received
/// ([`viewer_filters`]).
fn readable_filters<'a>(filter: &'a Filter, context: &QueryContext<'_>) -> Vec<Cow<'a, Filter>> {
    if needs_viewer_filters(filter, context) {
        viewer_filters(filter, context).into_iter().map(Cow::Owned).collect()
    } else {
        vec![Cow::Borrowed(filter)]
    }
}
