//! Synchronization of a store with another relay.
//!
//! Both sides find out which events the other lacks without sending those that both have (NIP-77). Where the other relay
//! does not do that, its events are read page by page. Events missing here are fetched, verified and stored; events
//! missing there are sent. An interrupted synchronization can simply be started again, and has less to do then.

mod identity;
mod local;
mod paging;
mod reconcile;
mod refusal_cause;
mod remote;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::SqlError;
use openagents_host::native::Sqlite;

pub use local::Sink;
pub use remote::{Remote, RemoteError};

use self::local::{Destination, LocalSide};
use super::bulk_insert::{BulkInsert, ImportCounts};
use crate::store::Store;
use openagents_host::nostr::filter::Filter;

/// Which side receives the events it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both sides.
    #[default]
    Both,
    /// The local side.
    Down,
    /// The remote side.
    Up,
}

impl Direction {
    const fn is_down(self) -> bool {
        matches!(self, Self::Both | Self::Down)
    }

    const fn is_up(self) -> bool {
        matches!(self, Self::Both | Self::Up)
    }
}

/// How the differences are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Not known yet.
    #[default]
    Unknown,
    /// By reconciliation (NIP-77), and by paging where the remote side refuses that.
    Reconciliation,
    /// By reading all events of the remote side.
    Paging,
}

/// The progress of a synchronization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synchronization {
    /// How the differences are found.
    pub method: Method,
    /// How many events of the remote side were examined while paging.
    pub looked_at: u64,
    /// How many events are missing here, if known.
    pub to_fetch: Option<u64>,
    /// How many events are missing there, if known.
    pub to_send: Option<u64>,
    /// How many events the remote side announced but did not send.
    pub withheld: u64,
    /// What happened to the fetched events.
    pub down: ImportCounts,
    /// What happened to the sent events.
    pub up: ImportCounts,
    /// The times, in seconds of `created_at`, at which the remote side may have more events than it returned.
    pub unreached: Vec<RangeInclusive<u64>>,
    /// Whether it was stopped before its end.
    pub is_interrupted: bool,
}

impl Synchronization {
    /// Whether nothing was left out. Events that one side refuses are only counted.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !self.is_interrupted && self.unreached.is_empty() && self.withheld == 0
    }
}

/// Why a synchronization failed. What was done before is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The remote side failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The local side failed.
    #[error("the relay database failed: {0}")]
    Sql(#[from] SqlError),
}

/// Synchronizes a store and a relay, for events that match the filter. The filter's `limit` is ignored.
///
/// Setting `stop` ends it at the next step; `progress` is called after each.
///
/// # Errors
/// When either side fails.
pub async fn sync(
    store: &Store<Sqlite>,
    sink: Sink<'_>,
    remote: &mut Remote,
    filter: &Filter,
    direction: Direction,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(&Synchronization),
) -> Result<Synchronization, SyncError> {
    let mut sync = Synchronization::default();
    let destination = match sink {
        Sink::Store(access) => Destination::Store(BulkInsert::new(store, access)?),
        Sink::Relay(relay) => Destination::Relay(relay),
    };
    let mut local = LocalSide { store, destination };
    let filter = Filter { limit: None, ..filter.clone() };
    progress(&sync);
    match find_and_transfer_missing(&mut local, remote, &filter, direction, stop, &mut sync, progress).await {
        // Stopped: the counts say how far it has come.
        Err(SyncError::Remote(RemoteError::Stopped)) => {}
        other => other?,
    }
    sync.is_interrupted = stop.load(Ordering::Relaxed);
    progress(&sync);
    Ok(sync)
}

async fn find_and_transfer_missing(
    local: &mut LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    direction: Direction,
    stop: &AtomicBool,
    sync: &mut Synchronization,
    progress: &mut dyn FnMut(&Synchronization),
) -> Result<(), SyncError> {
    let comparison = reconcile::compare(local, remote, filter, stop).await?;
    sync.method = Method::Paging;
    if let Some(differences) = comparison.differences {
        sync.method = Method::Reconciliation;
        reconcile::transfer_missing(local, remote, differences, direction, stop, sync, progress).await?;
    }
    for filter in comparison.refused {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        paging::page_through(local, remote, &filter, direction, stop, sync, progress).await?;
    }
    Ok(())
}
