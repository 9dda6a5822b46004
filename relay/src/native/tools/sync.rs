//! Synchronization of a store with another relay.
//!
//! The two sides find out what each of them lacks without sending what both have (NIP-77). With a relay that does not
//! do that, its events are paged through instead. What is missing here is fetched, verified and stored; what is missing
//! there is sent. Begun again after an interruption, it finds less to do.

mod identity;
mod local;
mod paging;
mod reconcile;
mod remote;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::SqlError;
use openagents_host::native::Sqlite;

pub use local::Sink;
pub use remote::{Remote, RemoteError};

use self::local::{Destination, LocalSide};
use super::bulk_insert::{BulkInsert, ImportCounts};
use crate::store::Store;
use openagents_host::nostr::filter::Filter;

/// Which side gets what it lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// This one.
    Down,
    /// The other one.
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

/// How the difference is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// That is being found out.
    #[default]
    Unknown,
    /// By reconciliation (NIP-77).
    Reconciliation,
    /// By looking at everything that the other side has.
    Paging,
}

/// How far a synchronisation is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synchronization {
    /// How the difference is found.
    pub method: Method,
    /// How many events of the other side were looked at: those that were paged through.
    pub looked_at: u64,
    /// How many events are missing here, as far as that is known.
    pub to_fetch: Option<u64>,
    /// How many events are missing there, as far as that is known.
    pub to_send: Option<u64>,
    /// How many events the other side said it has, and did not give.
    pub withheld: u64,
    /// What became of what was fetched.
    pub down: ImportCounts,
    /// What became of what was sent.
    pub up: ImportCounts,
    /// Whether it came to its end.
    pub is_complete: bool,
}

/// Why a synchronisation ended early. What was done before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The other side.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// This side.
    #[error("the relay database failed: {0}")]
    Sql(#[from] SqlError),
}

/// Brings a store and a relay to the same events, of those that match the filter. The filter's `limit` plays no part.
///
/// `stop` ends it at the next step; `progress` is told after each.
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
    match compare_and_settle(&mut local, remote, &filter, direction, stop, &mut sync, progress).await {
        // It has come as far as the account says.
        Err(SyncError::Remote(RemoteError::Stopped)) => {}
        other => other?,
    }
    sync.is_complete = !stop.load(Ordering::Relaxed);
    progress(&sync);
    Ok(sync)
}

async fn compare_and_settle(
    local: &mut LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    direction: Direction,
    stop: &AtomicBool,
    sync: &mut Synchronization,
    progress: &mut dyn FnMut(&Synchronization),
) -> Result<(), SyncError> {
    match reconcile::differences(local, remote, filter, stop).await? {
        Some(differences) => {
            sync.method = Method::Reconciliation;
            reconcile::settle(local, remote, differences, direction, stop, sync, progress).await
        }
        None => {
            sync.method = Method::Paging;
            paging::page_through(local, remote, filter, direction, stop, sync, progress).await
        }
    }
}
