//! Interim.
#![allow(clippy::all, clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::BTreeSet;

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{Event, EventId, Kind, PublicKey, Timestamp};

use super::Store;
use crate::filter::{Filter, OneOf};
use crate::limits::Limits;

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub struct Viewer<'a> {
    /// Private kinds.
    pub private_kinds: &'a OneOf<Kind>,
    /// Keys.
    pub pubkeys: &'a BTreeSet<PublicKey>,
}

impl Viewer<'_> {
    /// May read.
    #[must_use]
    pub fn may_read(&self, event: &Event) -> bool {
        !self.private_kinds.contains(&event.kind)
            || self.pubkeys.contains(&event.pubkey)
            || event
                .tag_values("p")
                .filter_map(|value| PublicKey::from_hex(value).ok())
                .any(|addressee| self.pubkeys.contains(&addressee))
    }
}

/// Count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Count.
    pub count: u64,
    /// Approximate.
    pub approximate: bool,
}

impl<S: Sql> Store<S> {
    fn all_matches(
        &self,
        now: Timestamp,
        filter: &Filter,
        viewer: &Viewer<'_>,
    ) -> Result<Vec<Event>, SqlError> {
        let limits = Limits { max_limit: 1_000_000, max_answer_length: usize::MAX, ..Limits::default() };
        let filter = Filter { limit: Some(1_000_000), ..filter.clone() };
        let mut events = Vec::new();
        self.query(&[filter], &limits, &mut |json| events.extend(Event::from_json(&json).ok()))?;
        events.retain(|event| {
            viewer.may_read(event) && super::expiration(event).is_none_or(|at| at > now.as_seconds())
        });
        Ok(events)
    }

    /// Count.
    pub fn count(&self, now: Timestamp, filters: &[Filter], viewer: &Viewer<'_>) -> Result<Count, SqlError> {
        let mut ids = BTreeSet::new();
        for filter in filters {
            ids.extend(self.all_matches(now, filter, viewer)?.into_iter().map(|event| event.id));
        }
        Ok(Count { count: ids.len().try_into().unwrap_or(u64::MAX), approximate: false })
    }

    /// Each.
    pub fn each_match(
        &self,
        now: Timestamp,
        filter: &Filter,
        viewer: &Viewer<'_>,
        at_most: u64,
        each: &mut dyn FnMut(&EventId, &PublicKey, u64),
    ) -> Result<(), SqlError> {
        for event in
            self.all_matches(now, filter, viewer)?.iter().take(at_most.try_into().unwrap_or(usize::MAX))
        {
            each(&event.id, &event.pubkey, event.created_at);
        }
        Ok(())
    }
}

pub(super) const fn settled(_: Timestamp) -> u64 {
    9_007_199_254_740_991
}

pub(super) const fn lower(_: &Filter) -> u64 {
    0
}

pub(super) const fn upper(_: &Filter) -> u64 {
    9_007_199_254_740_991
}

static NO_KINDS: std::sync::LazyLock<OneOf<Kind>> = std::sync::LazyLock::new(OneOf::default);
static NO_KEYS: BTreeSet<PublicKey> = BTreeSet::new();

impl Viewer<'static> {
    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { private_kinds: &NO_KINDS, pubkeys: &NO_KEYS }
    }
}

impl<S: Sql> Store<S> {
    /// Query.
    pub fn query_as(
        &self,
        now: Timestamp,
        filters: &[Filter],
        limits: &Limits,
        viewer: &Viewer<'_>,
        each: &mut dyn FnMut(std::sync::Arc<str>),
    ) -> Result<crate::message::Completeness, SqlError> {
        let mut n: u64 = 0;
        self.query(filters, limits, &mut |json| {
            n = n.saturating_add(1);
            let event = Event::from_json(&json).unwrap();
            if viewer.may_read(&event) && super::expiration(&event).is_none_or(|at| at > now.as_seconds()) {
                each(json);
            }
        })?;

        Ok(if n < 512 && filters.len() == 1 && filters[0].limit == Some(512) {
            crate::message::Completeness::Finished
        } else {
            crate::message::Completeness::Unknown
        })
    }
}
