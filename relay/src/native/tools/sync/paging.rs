//! Synchronization with a relay that does not reconcile (NIP-77): all its events are fetched page by page (NIP-01), the
//! newest first.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::EventId;
use openagents_host::nostr::MAX_CREATED_AT;

use super::local::{LocalSide, keep_verified};
use super::remote::{Remote, RemoteError};
use super::{Direction, SyncError, Synchronization};
use openagents_host::nostr::filter::Filter;

/// How many events are requested at once. Most relays return no more.
const EVENTS_PER_PAGE: usize = 500;

/// How many events are requested if one second has more than [`EVENTS_PER_PAGE`].
const EVENTS_PER_LARGE_PAGE: usize = 5_000;

/// No relay is expected to return fewer events at once than this if it has more.
const MIN_RELAY_LIMIT: usize = 50;

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
        let to_send = u64::try_from(ours.len()).unwrap_or(u64::MAX);
        sync.to_send = Some(sync.to_send.unwrap_or(0).saturating_add(to_send));
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

/// A second whose events were all that a page had room for.
#[derive(Clone, Copy)]
struct FullSecond {
    second: u64,
    /// How many events the page had.
    returned: usize,
}

/// Reads all events of the remote side that match. The relay may have more events of the last second of a page than it
/// returned, so the next page begins with that second.
async fn read_all(
    local: &mut LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    stop: &AtomicBool,
    theirs: &mut HashSet<EventId>,
    sync: &mut Synchronization,
    progress: &mut dyn FnMut(&Synchronization),
) -> Result<(), SyncError> {
    let since = filter.since.unwrap_or(0);
    let (mut until, mut limit) = (filter.until, EVENTS_PER_PAGE);
    let mut full: Option<FullSecond> = None;
    // The size of the page before, and of the largest page after which there was more.
    let (mut previous, mut largest_cut) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let request = Filter { until, limit: u64::try_from(limit).ok(), ..filter.clone() };
        let page = remote.fetch(&request, stop).await?;
        let returned = page.events.len();
        let Some(oldest_given) = page.events.iter().map(|event| event.created_at).min() else {
            if page.unrequested > 0 {
                // The relay ignores `until` or another condition, so no further page will have anything older.
                let last = full.map(|full| full.second).or(until).unwrap_or(MAX_CREATED_AT);
                sync.unreached.push(since..=last);
            } else if let Some(full) = full {
                note_if_cut(full, largest_cut, sync);
            }
            return Ok(());
        };
        // There is more, although the page had only events of that second: it was cut there.
        if let Some(FullSecond { second, returned }) = full.take() {
            sync.unreached.push(second..=second);
            largest_cut = largest_cut.max(returned);
        }
        // A relay may send any number of invalid events: they must not count as progress.
        let events = keep_verified(page.events, &mut sync.down);
        let Some(oldest) = events.iter().map(|event| event.created_at).min() else {
            progress(sync);
            return Err(RemoteError::Invalid.into());
        };
        let new = events.into_iter().filter(|event| theirs.insert(event.id)).collect::<Vec<_>>();
        let has_news = !new.is_empty();
        sync.looked_at = sync.looked_at.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
        let missing = local.missing(new)?;
        local.insert(missing, stop, &mut sync.down).await?;
        progress(sync);
        if page.is_last {
            return Ok(());
        }
        if has_news {
            largest_cut = largest_cut.max(previous);
            (until, limit, previous) = (Some(oldest), EVENTS_PER_PAGE, returned);
            continue;
        }
        // All events of that second that the relay returns are known.
        if limit == EVENTS_PER_PAGE && returned >= limit {
            limit = EVENTS_PER_LARGE_PAGE;
            continue;
        }
        let filled = (oldest_given == oldest).then_some(FullSecond { second: oldest, returned });
        let Some(before) = oldest.checked_sub(1).filter(|before| *before >= since) else {
            if let Some(full) = filled {
                note_if_cut(full, largest_cut, sync);
            }
            return Ok(());
        };
        full = filled;
        (until, limit, previous) = (Some(before), EVENTS_PER_PAGE, 0);
    }
    Ok(())
}

/// Notes the oldest second if its page may have been cut: it was no smaller than one that was, or than the limits of
/// relays are.
fn note_if_cut(full: FullSecond, largest_cut: usize, sync: &mut Synchronization) {
    let limit = if largest_cut > 0 { largest_cut } else { MIN_RELAY_LIMIT };
    if full.returned >= limit {
        sync.unreached.push(full.second..=full.second);
    }
}
