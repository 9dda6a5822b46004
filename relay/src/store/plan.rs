//! Which condition of a filter finds its events; the others only sort out.

use std::ops::ControlFlow;

use openagents_host::event::Retention;
use openagents_host::sql::{Sql, SqlError};

use super::Store;
use super::select::{Body, Reader, Select, driving_table, lower};
use super::statement::Statement;
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
    /// At most so many there are, where it is known.
    pub(super) rows: Option<u64>,
}

/// How many conditions are compared: the others take part as what sorts out. Each binds up to five values, of which a
/// statement may have a hundred.
const MOST_PROBED: usize = 16;

/// How far the rows of a condition are counted to compare it with another: further than most conditions reach that are
/// worth driving by, and less work than what is saved.
pub(super) const PROBED: u64 = 256;

/// With so few rows, to look at them is less work than to count those of another condition.
pub(super) const FEW_ENOUGH: u64 = 32;

impl Plan {
    /// Whether the rows are known to be fewer than [`PROBED`], or not many more than the filter is long: it does not matter
    /// in which order they are found.
    pub(super) const fn finds_few(self) -> bool {
        self.rows.is_some()
    }
}

impl Driver {
    /// The conditions that can find the rows of a filter: the one that is likely to find the fewest first.
    fn candidates(filter: &Filter) -> Vec<Self> {
        if filter.ids.is_some() {
            return vec![Self::Ids];
        }
        let mut tags: Vec<(TagName, usize)> =
            filter.tags.iter().map(|(name, values)| (*name, values.len())).collect();
        tags.sort_by_key(|(name, values)| (Pointing::of(*name), *values));
        let mut candidates: Vec<Self> = tags.iter().map(|(name, _)| Self::Tag(*name)).collect();
        let pointing = tags.iter().filter(|(name, _)| Pointing::of(*name) != Pointing::Anywhere).count();
        if filter.authors.is_some() {
            candidates.insert(pointing, Self::Authors);
        } else if filter.kinds.is_some() && pointing == 0 {
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

    /// The condition that most likely finds few rows, so that they are read without a look at other conditions, if they turn
    /// out to be few.
    pub(super) fn likely_few(filter: &Filter) -> Option<Self> {
        let first = Self::candidates(filter).into_iter().next()?;
        matches!(first, Self::Tag(name) if Pointing::of(name) == Pointing::Event).then_some(first)
    }

    /// How many rows this condition finds at most, where the filter alone says it.
    fn known_rows(self, filter: &Filter) -> Option<u64> {
        let rows = match self {
            Self::Ids => filter.ids.as_ref()?.len(),
            Self::Authors => {
                let (authors, kinds) = (filter.authors.as_ref()?, filter.kinds.as_ref()?);
                // Of each there is one version.
                if !kinds.iter().all(|kind| kind.retention() == Retention::Replaceable) {
                    return None;
                }
                authors.len().checked_mul(kinds.len())?
            }
            Self::Tag(_) | Self::Kinds | Self::Time => return None,
        };
        let rows = u64::try_from(rows).ok()?;
        (self == Self::Ids || rows < PROBED).then_some(rows)
    }
}

/// What a tag usually names: the fewer events share a value, the earlier it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pointing {
    /// One event, or one address.
    Event,
    /// One person or thing, of which some are busy.
    One,
    /// Nothing of the kind. A topic is shared by many events, more than an author writes.
    Anywhere,
}

impl Pointing {
    const fn of(name: TagName) -> Self {
        match name.letter() {
            'e' | 'E' | 'a' | 'A' | 'q' => Self::Event,
            'd' | 'p' | 'P' | 'i' | 'I' => Self::One,
            _ => Self::Anywhere,
        }
    }
}

impl Select {
    /// One column for each candidate: how many rows it finds, counted up to [`PROBED`]. The others are NULL where the first
    /// finds no more than [`FEW_ENOUGH`].
    pub(super) fn probe(first: Driver, others: &[Driver], filter: &Filter, reader: &Reader<'_>) -> Statement {
        let mut probe = Statement::default();
        probe.push("SELECT first.n");
        for driver in others {
            probe.push(", CASE WHEN first.n > ? THEN (").integer(FEW_ENOUGH);
            Self::probed(&mut probe, *driver, filter, reader);
            probe.push(") END");
        }
        probe.push(" FROM (");
        Self::probed(&mut probe, first, filter, reader);
        probe.push(") AS first");
        probe
    }

    fn probed(probe: &mut Statement, driver: Driver, filter: &Filter, reader: &Reader<'_>) {
        probe.push("SELECT count(*) AS n FROM (SELECT 1 FROM ");
        let body = Body::of(driver, filter, reader);
        body.push_values(probe);
        probe.push(driving_table(driver));
        probe.push(" WHERE ");
        body.push_driving(probe);
        // With authors alone the index is not in the order of time: the range could be far to seek.
        if driver != Driver::Authors || filter.kinds.is_some() {
            body.push_range(probe, lower(filter));
        }
        probe.push(" LIMIT ?)").integer(PROBED);
    }
}

impl<S: Sql> Store<S> {
    /// The condition that finds the fewest rows. Where several may, their rows are counted, up to [`PROBED`], in one
    /// statement, unless the first has [few enough](FEW_ENOUGH); of those with more it is the first.
    pub(super) fn plan(&self, filter: &Filter, reader: &Reader<'_>) -> Result<Plan, SqlError> {
        let candidates = Driver::candidates(filter);
        let Some((first, others)) = candidates.split_first() else {
            return Ok(Plan { driver: Driver::Time, rows: None });
        };
        let known = first.known_rows(filter);
        if others.is_empty() || known.is_some_and(|rows| rows <= FEW_ENOUGH) {
            return Ok(Plan { driver: *first, rows: known });
        }
        let probe = Select::probe(*first, others, filter, reader);
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
        Ok(Plan { driver, rows: (rows < PROBED).then_some(rows) })
    }

    /// The condition of the [`plan`](Self::plan).
    pub(super) fn driver(&self, filter: &Filter, reader: &Reader<'_>) -> Result<Driver, SqlError> {
        self.plan(filter, reader).map(|plan| plan.driver)
    }
}
