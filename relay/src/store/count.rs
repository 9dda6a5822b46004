//! How many events match, and which.

use std::borrow::Cow;
use std::ops::ControlFlow;

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{EventId, PublicKey, Timestamp};

use super::Store;
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

/// How far events are counted.
pub const MOST_COUNTED: u64 = 1_000_000;

impl<S: Sql> Store<S> {
    /// How many stored events match any of the filters, each counted once. Limits of filters play no part.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count(&self, now: Timestamp, filters: &[Filter], viewer: &Viewer<'_>) -> Result<Count, SqlError> {
        let reader = Reader { now, viewer };
        let one_more = MOST_COUNTED.saturating_add(1);
        let filters = filters.iter().filter(|filter| !filter.matches_nothing());
        let filters: Vec<Cow<'_, Filter>> = filters.flat_map(|filter| of_parties(filter, &reader)).collect();
        let count = if let [filter] = filters.as_slice() {
            self.count_one(filter, &reader, one_more)?
        } else {
            let mut places = Vec::new();
            for filter in &filters {
                let select = Select::all("e.seq", self.driver(filter, &reader)?, filter, &reader, one_more);
                self.sql.query(select.text(), &select.values(), &mut |row| {
                    places.push(row.column::<u64>(0)?);
                    Ok(ControlFlow::Continue(()))
                })?;
                places.sort_unstable();
                places.dedup();
                if u64::try_from(places.len()).is_ok_and(|places| places > MOST_COUNTED) {
                    break;
                }
            }
            u64::try_from(places.len()).unwrap_or(u64::MAX)
        };
        Ok(Count { count: count.min(MOST_COUNTED), approximate: count > MOST_COUNTED })
    }

    fn count_one(&self, filter: &Filter, reader: &Reader<'_>, at_most: u64) -> Result<u64, SqlError> {
        let select = Select::count(self.driver(filter, reader)?, filter, reader, at_most);
        let count: Option<(u64,)> = self.sql.first(select.text(), &select.values())?;
        Ok(count.map_or(0, |(count,)| count))
    }

    /// Hands id, author and second of the stored events that match to `each`, in no order and each once, at most so
    /// many. The filter's limit plays no part.
    ///
    /// # Errors
    /// When the database fails. Some events may have been handed over before.
    pub fn each_match(
        &self,
        now: Timestamp,
        filter: &Filter,
        viewer: &Viewer<'_>,
        at_most: u64,
        each: &mut dyn FnMut(&EventId, &PublicKey, u64),
    ) -> Result<(), SqlError> {
        if filter.matches_nothing() {
            return Ok(());
        }
        let reader = Reader { now, viewer };
        let mut found: u64 = 0;
        for (number, filter) in of_parties(filter, &reader).iter().enumerate() {
            if found >= at_most {
                break;
            }
            let driver = self.driver(filter, &reader)?;
            // What was found before may be among these once more.
            let limit = at_most.saturating_add(found);
            let select = Select::all("e.id, e.pubkey, e.created_at", driver, filter, &reader, limit);
            self.sql.query(select.text(), &select.values(), &mut |row| {
                let author: PublicKey = row.column(1)?;
                if number > 0 && viewer.pubkeys.contains(&author) {
                    return Ok(ControlFlow::Continue(()));
                }
                if found >= at_most {
                    return Ok(ControlFlow::Break(()));
                }
                found = found.saturating_add(1);
                each(&row.column(0)?, &author, row.column(2)?);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(())
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
