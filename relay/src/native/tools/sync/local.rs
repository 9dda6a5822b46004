//! The local side of a synchronization: reads the stored events, and stores the missing ones.

use std::collections::VecDeque;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::thread;

use openagents_host::native::{Sqlite, now};
use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::sql::{Sql, values};
use openagents_host::{Event, EventId, SqlError, VerifiedEvent};

use super::SyncError;
use super::remote::{OutgoingEvent, Remote};
use crate::admission::access::Access;
use crate::native::tools::bulk_insert::{BulkInsert, ImportCounts, Refusal};
use crate::store::{Scan, Store, Viewer};
use openagents_host::nostr::filter::Filter;

/// Where events go that are missing locally.
pub enum Sink<'a> {
    /// Into the store that was compared, which must not be open for writing anywhere else. The access rules have the
    /// relay's host names, which a request to vanish may name (NIP-62).
    Store(&'a Access),
    /// To the running relay whose store was compared.
    Relay(&'a mut Remote),
}

/// An opened [`Sink`].
pub(super) enum Destination<'a> {
    Store(BulkInsert<'a>),
    Relay(&'a mut Remote),
}

/// The local side.
pub(super) struct LocalSide<'a> {
    pub(super) store: &'a Store<Sqlite>,
    pub(super) destination: Destination<'a>,
}

impl LocalSide<'_> {
    /// Time and id of the stored events that match.
    pub(super) fn items(&self, filter: &Filter) -> Result<Vec<(u64, EventId)>, SqlError> {
        let mut items = Vec::new();
        let everything = Viewer::everything();
        let (now, filters) = (now(), std::slice::from_ref(filter));
        let mut scan = Scan::new(filters, now, &everything, MAX_CREATED_AT);
        self.store.scan(&mut scan, now, &everything, MAX_CREATED_AT, "e.created_at, e.id", &mut |row| {
            items.push((row.column(0)?, row.column(1)?));
            Ok(ControlFlow::Continue(()))
        })?;
        // An event with several values of a tag is found several times.
        items.sort_unstable();
        items.dedup();
        Ok(items)
    }

    /// Those of the events that are not stored.
    pub(super) fn missing(&self, events: Vec<VerifiedEvent>) -> Result<Vec<VerifiedEvent>, SqlError> {
        let mut missing = Vec::with_capacity(events.len());
        for event in events {
            if !self.store.contains(&event.id)? {
                missing.push(event);
            }
        }
        Ok(missing)
    }

    /// Loads stored events in order to send them. Events that were removed meanwhile are left out.
    pub(super) fn load(&self, ids: &[EventId]) -> Result<VecDeque<OutgoingEvent>, SqlError> {
        let mut events = VecDeque::with_capacity(ids.len());
        for id in ids {
            let found: Option<(String,)> =
                self.store.sql().first("SELECT json FROM event WHERE id = ?", values![id])?;
            events.extend(found.map(|(json,)| OutgoingEvent { id: *id, json: json.into() }));
        }
        Ok(events)
    }

    /// Stores or sends fetched events.
    pub(super) async fn insert(
        &mut self,
        events: Vec<VerifiedEvent>,
        stop: &AtomicBool,
        counts: &mut ImportCounts,
    ) -> Result<(), SyncError> {
        match &mut self.destination {
            Destination::Store(bulk_insert) => {
                bulk_insert.store.sql().transaction(|| -> Result<(), SqlError> {
                    events.iter().try_for_each(|event| bulk_insert.insert(now(), event, counts))
                })?;
            }
            Destination::Relay(relay) => relay.publish(&events, stop, counts).await?,
        }
        Ok(())
    }
}

/// Those of the events whose signatures are valid, in the same order. The others are counted as refused.
pub(super) fn keep_verified(events: Vec<Event>, counts: &mut ImportCounts) -> Vec<VerifiedEvent> {
    let given = events.len();
    let events = verify_on_all_cores(events);
    for _ in events.len()..given {
        counts.refuse(Refusal::Invalid);
    }
    events
}

fn verify_on_all_cores(events: Vec<Event>) -> Vec<VerifiedEvent> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = events.len().div_ceil(cores).max(1);
    let mut events = events.into_iter();
    let verified = |events: Vec<Event>| -> Vec<VerifiedEvent> {
        Event::verify_all(events).into_iter().flatten().collect()
    };
    thread::scope(|scope| {
        let mut shares = Vec::new();
        loop {
            let part: Vec<Event> = events.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            shares.push(scope.spawn(move || verified(part)));
        }
        // Verification does not panic; if it did, its events would count as invalid.
        shares.into_iter().flat_map(|share| share.join().unwrap_or_default()).collect()
    })
}
