//! The part of the engine that has to do with searches (NIP-50).

use std::collections::BTreeSet;
use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::{Effect, PAUSE_AFTER_FAILURE, Relay};
use crate::filter::Filter;
use crate::limits::Limits;
use crate::message::Completeness;
use crate::store::Viewer;

/// How many events are taken into the index of words at a time: a few tens of milliseconds.
const AT_A_TIME: u32 = 1_000;

/// After how many new events it is looked whether it is time for that.
const LOOK_AFTER: u32 = 1_000;

/// What of the index of words is to be done.
#[derive(Debug, Default)]
pub(super) struct Indexing {
    new: u32,
    pub(super) due: Option<Timestamp>,
}

impl<S: Sql> Relay<S> {
    /// Hands over what is stored for filters. What is searched for comes first, filter by filter, the best first; then the
    /// rest, the newest first. Each event comes once.
    pub(super) fn stored(
        &self,
        now: Timestamp,
        filters: &[Filter],
        limits: &Limits,
        viewer: &Viewer<'_>,
        each: &mut dyn FnMut(Arc<str>),
    ) -> Result<Completeness, SqlError> {
        if filters.iter().all(|filter| filter.search.is_none()) {
            return self.store.query_as(now, filters, limits, viewer, each);
        }
        let mut completeness = Completeness::Finished;
        let mut left = limits.max_answer_length;
        let mut sent: BTreeSet<Arc<str>> = BTreeSet::new();
        for filter in filters {
            let Some(search) = &filter.search else { continue };
            let found = self.store.search(now, filter, search, limits, viewer)?;
            completeness = least(completeness, found.completeness);
            for event in found.events {
                match left.checked_sub(event.len()) {
                    Some(after) => left = after,
                    None => {
                        completeness = Completeness::Unknown;
                        break;
                    }
                }
                if sent.insert(Arc::clone(&event)) {
                    each(event);
                }
            }
        }
        let others: Vec<Filter> = filters.iter().filter(|filter| filter.search.is_none()).cloned().collect();
        if !others.is_empty() {
            let limits = Limits { max_answer_length: left, ..limits.clone() };
            let of_others = self.store.query_as(now, &others, &limits, viewer, &mut |event| {
                if !sent.contains(&event) {
                    each(event);
                }
            })?;
            completeness = least(completeness, of_others);
        }
        Ok(completeness)
    }

    /// Takes what came since into the index before a search, or some of it, and the rest soon.
    pub(super) fn prepare_search(&mut self, now: Timestamp, filters: &[Filter], effects: &mut Vec<Effect>) {
        if filters.iter().any(|filter| filter.search.is_some()) {
            self.extend_index(now, effects);
        }
    }

    /// Notes that an event was stored.
    pub(super) fn index_later(&mut self, now: Timestamp) {
        self.indexing.new = self.indexing.new.saturating_add(1);
        if self.indexing.new >= LOOK_AFTER {
            self.indexing = Indexing { new: 0, due: Some(self.indexing.due.map_or(now, |due| due.min(now))) };
        }
    }

    /// Does the indexing that is due.
    pub(super) fn index_if_due(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.indexing.due.is_some_and(|due| due <= now) {
            self.extend_index(now, effects);
        }
    }

    fn extend_index(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let is_more = self
            .store
            .is_index_behind(now)
            .and_then(|is_behind| Ok(is_behind && self.store.extend_index(now, AT_A_TIME)?));
        self.indexing.due = match is_more {
            Ok(true) => Some(now),
            Ok(false) => None,
            Err(error) => {
                effects.push(Effect::Failed(error));
                Some(now + PAUSE_AFTER_FAILURE)
            }
        };
    }
}

fn least(one: Completeness, other: Completeness) -> Completeness {
    if one == other { one } else { Completeness::Unknown }
}
