//! How many events match, and which.

use std::borrow::Cow;
use std::ops::ControlFlow;

use openagents_host::event::MAX_CREATED_AT;
use openagents_host::sql::{Sql, SqlError};
use openagents_host::{EventId, PublicKey, Timestamp};

use super::Store;
use super::bounded::{self, Budget, Reach};
use super::query::{needs_parties, parties};
use super::select::{Reader, Select};
use super::viewer::Viewer;
use crate::filter::Filter;

/// How many stored events match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
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
    ) -> Result<Count, SqlError> {
        let reader = Reader { now, viewer };
        let mut budget = Budget::of(look_ups);
        let filters = filters.iter().filter(|filter| !filter.matches_nothing());
        let filters: Vec<Cow<'_, Filter>> = filters.flat_map(|filter| of_parties(filter, &reader)).collect();
        let mut approximate = false;
        let mut places = Vec::new();
        for filter in &filters {
            let driver = self.driver(filter, &reader)?;
            let select = match budget.spend(self, driver, filter, &reader)? {
                Reach::Whole if filters.len() == 1 => {
                    let select = Select::count(driver, filter, &reader, MAX_CREATED_AT);
                    let count: Option<(u64,)> = self.sql.first(select.text(), &select.values())?;
                    return Ok(Count { count: count.map_or(0, |(count,)| count), approximate });
                }
                Reach::Whole => Select::all("e.seq", driver, filter, &reader, MAX_CREATED_AT),
                Reach::Rows(rows) => {
                    approximate = true;
                    bounded::places(driver, filter, &reader, rows)
                }
            };
            self.sql.query(select.text(), &select.values(), &mut |row| {
                places.push(row.column::<u64>(0)?);
                Ok(ControlFlow::Continue(()))
            })?;
            places.sort_unstable();
            places.dedup();
            if approximate {
                break;
            }
        }
        Ok(Count { count: u64::try_from(places.len()).unwrap_or(u64::MAX), approximate })
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
        let reader = Reader { now, viewer };
        let mut budget = Budget::of(look_ups);
        let (mut found, mut coverage) = (0_u64, Coverage::All);
        for (number, filter) in of_parties(filter, &reader).iter().enumerate() {
            let driver = self.driver(filter, &reader)?;
            if budget.spend(self, driver, filter, &reader)? != Reach::Whole {
                return Ok(Coverage::Part);
            }
            // What was found before may be among these once more.
            let limit = at_most.saturating_add(found).saturating_add(1);
            let select = Select::all("e.id, e.pubkey, e.created_at", driver, filter, &reader, limit);
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
fn of_parties<'a>(filter: &'a Filter, reader: &Reader<'_>) -> Vec<Cow<'a, Filter>> {
    if needs_parties(filter, reader) {
        parties(filter, reader).into_iter().map(Cow::Owned).collect()
    } else {
        vec![Cow::Borrowed(filter)]
    }
}
