//! Synchronization with a relay that does not support reconciliation (NIP-77): all its events are fetched page by
//! page, the newest first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::EventId;

use super::local::{LocalSide, keep_verified};
use super::remote::{Remote, RemoteError};
use super::{Direction, SyncError, Synchronization};
use openagents_host::nostr::filter::Filter;

/// How many events are requested at once. Most relays return no more.
const EVENTS_PER_PAGE: u64 = 500;

/// How many events are sent between two progress reports.
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
        // The oldest first, in the order in which they were created.
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
        // A relay may send any number of invalid events: they must not count as progress.
        let events = keep_verified(page.events, &mut sync.down);
        let Some(oldest) = events.iter().map(|event| event.created_at).min() else {
            progress(sync);
            return Err(RemoteError::Invalid.into());
        };
        // The last second of a page may have more events than were sent, so it is requested again.
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
            // All events of that second that the relay returns are known.
            false => match oldest.checked_sub(1) {
                Some(second) => Some(second),
                None => return Ok(()),
            },
        };
    }
    Ok(())
}
