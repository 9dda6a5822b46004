//! Synchronization with a relay without reconciliation (NIP-77): all its events are fetched page by page, the newest
//! first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::EventId;

use super::local::{LocalSide, genuine};
use super::remote::{Remote, RemoteError};
use super::{Direction, SyncError, Synchronization};
use openagents_host::nostr::filter::Filter;

/// How many events are asked for at once. Most relays give no more.
const EVENTS_PER_PAGE: u64 = 500;

/// How many events are sent between two reports.
const EVENTS_PER_SEND: usize = 500;

pub(super) async fn page_through(
    local: &mut LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    direction: Direction,
    stop: &AtomicBool,
    sync: &mut Synchronization,
    progress: &mut dyn FnMut(&Synchronization),
) -> Result<(), SyncError> {
    let mut theirs = HashSet::new();
    if direction.is_down() {
        read_all(local, remote, filter, stop, &mut theirs, sync, progress).await?;
    }
    if direction.is_up() && !stop.load(Ordering::Relaxed) {
        let mut items = local.items(filter)?;
        // The oldest first, as they came to be.
        items.sort_unstable();
        let ours: Vec<EventId> =
            items.into_iter().map(|(_, id)| id).filter(|id| !theirs.contains(id)).collect();
        sync.to_send = Some(u64::try_from(ours.len()).unwrap_or(u64::MAX));
        for ids in ours.chunks(EVENTS_PER_SEND) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            remote.send_all(local.load(ids)?, stop, &mut sync.up).await?;
            progress(sync);
        }
    }
    Ok(())
}

async fn read_all(
    local: &mut LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    stop: &AtomicBool,
    theirs: &mut HashSet<EventId>,
    sync: &mut Synchronization,
    progress: &mut dyn FnMut(&Synchronization),
) -> Result<(), SyncError> {
    let mut until = filter.until;
    while !stop.load(Ordering::Relaxed) {
        let page =
            remote.fetch(&Filter { until, limit: Some(EVENTS_PER_PAGE), ..filter.clone() }, stop).await?;
        if page.events.is_empty() {
            return Ok(());
        }
        // Of what is not genuine there is any number: it must not count as news, nor say how far this has come.
        let events = genuine(page.events, &mut sync.down);
        let Some(oldest) = events.iter().map(|event| event.created_at).min() else {
            progress(sync);
            return Err(RemoteError::Forged.into());
        };
        // The last second of a page may have more events than came: it is asked for again.
        let new = events.into_iter().filter(|event| theirs.insert(event.id)).collect::<Vec<_>>();
        let has_news = !new.is_empty();
        sync.looked_at = u64::try_from(theirs.len()).unwrap_or(u64::MAX);
        let missing = local.missing(new)?;
        local.insert(missing, stop, &mut sync.down).await?;
        progress(sync);
        if page.is_last {
            return Ok(());
        }
        until = match has_news {
            true => Some(oldest),
            // All of that second that the relay gives is known.
            false => match oldest.checked_sub(1) {
                Some(second) => Some(second),
                None => return Ok(()),
            },
        };
    }
    Ok(())
}
