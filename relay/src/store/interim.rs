//! Interim.
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
    fn all_matches(&self, now: Timestamp, filter: &Filter, viewer: &Viewer<'_>) -> Result<Vec<Event>, SqlError> {
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
        for event in self.all_matches(now, filter, viewer)?.iter().take(at_most.try_into().unwrap_or(usize::MAX)) {
            each(&event.id, &event.pubkey, event.created_at);
        }
        Ok(())
    }
}
