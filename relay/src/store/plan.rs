//! Which condition of a filter finds its events; the others only sort out.

use openagents_host::sql::{Sql, SqlError};

use super::Store;
use super::select::{Reader, Select};
use crate::filter::Filter;
use crate::tag::TagName;

/// The condition by which rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    Ids,
    Tag(TagName),
    Authors,
    Kinds,
    Time,
}

/// How the rows of a filter are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) driver: Driver,
    /// They are known to be fewer than [`PROBED`], or not many more than the filter is long: it does not matter in which
    /// order they are found.
    pub(super) finds_few: bool,
}

/// How many conditions are compared: the others take part as what sorts out. Each binds up to five values, of which a
/// statement may have a hundred.
const MOST_PROBED: usize = 16;

/// How far the rows of a condition are counted to compare it with another: further than most conditions reach that are
/// worth driving by, and less work than what is saved.
pub(super) const PROBED: u64 = 256;

impl Driver {
    /// The conditions that can find the rows of a filter: the one that is likely to find the fewest first.
    fn candidates(filter: &Filter) -> Vec<Self> {
        if filter.ids.is_some() {
            return vec![Self::Ids];
        }
        let mut tags: Vec<(TagName, usize)> =
            filter.tags.iter().map(|(name, values)| (*name, values.len())).collect();
        tags.sort_by_key(|(name, values)| (!points_at_one_thing(*name), *values));
        let mut candidates: Vec<Self> = tags.iter().map(|(name, _)| Self::Tag(*name)).collect();
        if filter.authors.is_some() {
            let pointing = tags.iter().filter(|(name, _)| points_at_one_thing(*name)).count();
            candidates.insert(pointing, Self::Authors);
        } else if filter.kinds.is_some() && !tags.iter().any(|(name, _)| points_at_one_thing(*name)) {
            // An author's index has the kinds in it: with authors, kinds never drive. Tags have the kind in theirs too, and
            // one that points at one thing is rarer than a kind.
            candidates.push(Self::Kinds);
        }
        candidates.truncate(MOST_PROBED);
        if candidates.is_empty() {
            candidates.push(Self::Time);
        }
        candidates
    }
}

/// Whether a tag usually names one event, person or thing, so that few events share a value. A topic is shared by many,
/// more than an author writes.
fn points_at_one_thing(name: TagName) -> bool {
    matches!(name.letter(), 'e' | 'E' | 'a' | 'A' | 'd' | 'p' | 'P' | 'q' | 'i' | 'I')
}

impl<S: Sql> Store<S> {
    /// The condition that finds the fewest rows. Where several may, their rows are counted, up to [`PROBED`], in one
    /// statement; of those with more it is the first.
    pub(super) fn plan(&self, filter: &Filter, reader: &Reader<'_>) -> Result<Plan, SqlError> {
        let candidates = Driver::candidates(filter);
        if let [only] = candidates.as_slice() {
            return Ok(Plan { driver: *only, finds_few: *only == Driver::Ids });
        }
        let probe = Select::probe(&candidates, filter, reader);
        let mut counts = Vec::new();
        self.sql.query(probe.text(), &probe.values(), &mut |row| {
            for index in 0..row.count() {
                counts.push(row.column::<u64>(index)?);
            }
            Ok(std::ops::ControlFlow::Break(()))
        })?;
        let fewest = counts.iter().zip(&candidates).min_by_key(|(count, _)| **count);
        Ok(match fewest {
            Some((count, driver)) => Plan { driver: *driver, finds_few: *count < PROBED },
            None => Plan { driver: Driver::Time, finds_few: false },
        })
    }

    /// The condition of the [`plan`](Self::plan).
    pub(super) fn driver(&self, filter: &Filter, reader: &Reader<'_>) -> Result<Driver, SqlError> {
        self.plan(filter, reader).map(|plan| plan.driver)
    }
}
