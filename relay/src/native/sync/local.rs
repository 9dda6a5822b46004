//! The near side of a synchronisation: what is stored here, and where what is missing goes.

use std::collections::VecDeque;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::thread;

use openagents_host::event::MAX_CREATED_AT;
use openagents_host::native::Sqlite;
use openagents_host::sql::{Sql, values};
use openagents_host::{Event, EventId, SqlError, VerifiedEvent};

use super::remote::{Outgoing, Remote};
use super::SyncError;
use crate::filter::Filter;
use crate::native::intake::{self, Refusal, Tally};
use crate::store::Store;

/// Where events go that are missing here.
pub enum Sink<'a> {
    /// Into the store that was compared. Nobody else may be writing to it.
    Store,
    /// To the running relay whose store was compared.
    Relay(&'a mut Remote),
}

/// The near side.
pub(super) struct Local<'a> {
    pub(super) store: &'a Store<Sqlite>,
    pub(super) sink: Sink<'a>,
}

impl Local<'_> {
    /// Time and id of the stored events that match.
    pub(super) fn items(&self, filter: &Filter) -> Result<Vec<(u64, EventId)>, SyncError> {
        let mut items = Vec::new();
        let mut unreadable = None;
        // The time alone needs no look at the events.
        let bare = Filter { since: None, until: None, limit: None, ..filter.clone() };
        let is_bare = bare == Filter::default();
        let statement = match is_bare {
            true => "SELECT created_at, id FROM event WHERE created_at BETWEEN ? AND ?",
            false => "SELECT created_at, id, json FROM event WHERE created_at BETWEEN ? AND ?",
        };
        let (since, until) = (filter.since.unwrap_or(0), filter.until.unwrap_or(MAX_CREATED_AT));
        self.store.sql().query(statement, values![since, until], &mut |row| {
            let item = (row.column(0)?, row.column(1)?);
            let matches = is_bare
                || match Event::from_json(row.column(2)?) {
                    Ok(event) => bare.matches(&event),
                    Err(error) => {
                        unreadable = Some(error);
                        return Ok(ControlFlow::Break(()));
                    }
                };
            if matches {
                items.push(item);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        match unreadable {
            Some(error) => Err(error.into()),
            None => Ok(items),
        }
    }

    /// Which of these are not stored.
    pub(super) fn missing(&self, events: Vec<Event>) -> Result<Vec<Event>, SqlError> {
        let mut missing = Vec::with_capacity(events.len());
        for event in events {
            if !self.store.contains(&event.id)? {
                missing.push(event);
            }
        }
        Ok(missing)
    }

    /// Stored events, to be sent. Those that have gone meanwhile are left out.
    pub(super) fn load(&self, ids: &[EventId]) -> Result<VecDeque<Outgoing>, SqlError> {
        let mut events = VecDeque::with_capacity(ids.len());
        for id in ids {
            let found: Option<(String,)> =
                self.store.sql().first("SELECT json FROM event WHERE id = ?", values![id])?;
            events.extend(found.map(|(json,)| Outgoing { id: *id, json: json.into() }));
        }
        Ok(events)
    }

    /// Verifies events and gives them where they belong.
    pub(super) async fn take_in(
        &mut self,
        events: Vec<Event>,
        stop: &AtomicBool,
        tally: &mut Tally,
    ) -> Result<(), SyncError> {
        let given = events.len();
        let events = verify_on_all_cores(events);
        for _ in events.len()..given {
            tally.refuse(Refusal::Invalid);
        }
        match &mut self.sink {
            Sink::Store => {
                let store = self.store;
                store.sql().transaction(|| -> Result<(), SqlError> {
                    events.iter().try_for_each(|event| intake::take_in(store, event, tally))
                })?;
            }
            Sink::Relay(relay) => relay.publish(&events, stop, tally).await?,
        }
        Ok(())
    }
}

/// The genuine ones of these events, in their order.
fn verify_on_all_cores(events: Vec<Event>) -> Vec<VerifiedEvent> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = events.len().div_ceil(cores).max(1);
    let mut events = events.into_iter();
    let genuine = |events: Vec<Event>| -> Vec<VerifiedEvent> {
        events.into_iter().filter_map(|event| event.verify().ok()).collect()
    };
    thread::scope(|scope| {
        let mut shares = Vec::new();
        loop {
            let part: Vec<Event> = events.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            shares.push(scope.spawn(move || genuine(part)));
        }
        // Verifying does not panic; if it did, its events would count as not genuine.
        shares.into_iter().flat_map(|share| share.join().unwrap_or_default()).collect()
    })
}
