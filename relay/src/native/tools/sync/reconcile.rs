//! Synchronization with a relay that supports reconciliation (NIP-77).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::EventId;
use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::nostr::message::{ClientMessage, ReconcileStep, RelayMessage};
use openagents_host::nostr::reason::{Prefix, Reason};

use super::local::{LocalSide, keep_verified};
use super::remote::{AnswerWait, Remote, RemoteError};
use super::{Direction, SyncError, Synchronization};
use crate::nip77::Reconciliation;
use openagents_host::nostr::filter::{Filter, OneOf};

/// How many events are requested or sent between two progress reports. Many relays return no more per request.
const EVENTS_PER_BATCH: usize = 250;

/// How many messages a relay may use for one reconciliation: a hundred million events take fewer.
const MAX_MESSAGES: u32 = 100_000;

/// How many events may be missing locally. Their ids are kept in memory, and a relay can announce any number. If there
/// are more, it takes several runs, with filters for different time ranges.
const MAX_NEEDED: usize = 4_000_000;

/// The events that each side lacks. A relay may name the same id repeatedly.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// The events that the remote side lacks.
    have: BTreeSet<EventId>,
    /// The events that the local side lacks.
    need: BTreeSet<EventId>,
}

impl Differences {
    fn add(
        &mut self,
        have: impl IntoIterator<Item = EventId>,
        need: impl IntoIterator<Item = EventId>,
    ) -> Result<(), RemoteError> {
        self.have.extend(have);
        self.need.extend(need);
        if self.need.len() > MAX_NEEDED { Err(RemoteError::TooMuch) } else { Ok(()) }
    }
}

/// The outcome of a reconciliation.
enum ReconcileOutcome {
    Done,
    /// The relay considers the query too large.
    TooLarge(String),
    /// The relay requires authentication.
    AuthRequired(String),
    /// The relay does not support reconciliation.
    Unsupported,
}

/// Finds the events that each side lacks; `None` if the relay does not support reconciliation. A query that is too
/// large for the relay is split in halves of its time range.
pub(super) async fn differences(
    local: &LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    stop: &AtomicBool,
) -> Result<Option<Differences>, SyncError> {
    let mut all = Differences::default();
    let mut spans = vec![(filter.since.unwrap_or(0), filter.until.unwrap_or(MAX_CREATED_AT))];
    let mut is_first = true;
    while let Some((since, until)) = spans.pop() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let span = match is_first {
            true => filter.clone(),
            false => Filter { since: Some(since), until: Some(until), ..filter.clone() },
        };
        match reconcile_span(local, remote, &span, stop, &mut all).await? {
            ReconcileOutcome::Done => {}
            ReconcileOutcome::TooLarge(_) if since < until => {
                // The midpoint of all possible times is far in the future; that of the times in use splits better.
                let middle = since.midpoint(until.min(since.max(LATEST)));
                let middle = middle.clamp(since, until.saturating_sub(1));
                spans.push((since, middle));
                spans.push((middle.saturating_add(1), until));
            }
            ReconcileOutcome::TooLarge(reason) => return Err(RemoteError::Refused(reason).into()),
            // `reconcile_span` authenticates and repeats the query, or fails.
            ReconcileOutcome::AuthRequired(reason) => return Err(RemoteError::Refused(reason).into()),
            ReconcileOutcome::Unsupported if is_first => return Ok(None),
            ReconcileOutcome::Unsupported => {
                let reason = "it stopped supporting reconciliation".to_owned();
                return Err(RemoteError::Protocol(reason).into());
            }
        }
        is_first = false;
    }
    Ok(Some(all))
}

/// The latest second at which events are expected: 2100-01-01.
const LATEST: u64 = 4_102_444_800;

async fn reconcile_span(
    local: &LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    stop: &AtomicBool,
    all: &mut Differences,
) -> Result<ReconcileOutcome, SyncError> {
    let mut has_authenticated = false;
    loop {
        match reconcile_once(local, remote, filter, stop, all).await? {
            ReconcileOutcome::AuthRequired(reason) => {
                remote.authenticate_once(&mut has_authenticated, reason, stop).await?;
            }
            reaction => return Ok(reaction),
        }
    }
}

async fn reconcile_once(
    local: &LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    stop: &AtomicBool,
    all: &mut Differences,
) -> Result<ReconcileOutcome, SyncError> {
    let records = local.items(filter)?.into_iter().collect();
    let protocol = |error: crate::nip77::ReconciliationError| RemoteError::Protocol(error.to_string());
    let (mut reconciliation, first) = Reconciliation::open(records).map_err(protocol)?;
    let id = remote.next_id();
    let message = |step| ClientMessage::Reconcile { subscription: id.clone(), step };
    let filter = Box::new(filter.clone());
    remote.send(&message(ReconcileStep::Open { filter, message: first })).await?;
    let mut is_answered = false;
    let mut wait = AnswerWait::new();
    for _ in 0..MAX_MESSAGES {
        let answer = match remote.receive(&wait, stop).await? {
            Some(RelayMessage::Reconcile { subscription, message }) if subscription == id => {
                let Ok(answer) = base16ct::mixed::decode_vec(&message) else { continue };
                answer
            }
            Some(RelayMessage::ReconcileRefused { subscription, reason }) if subscription == id => {
                return Ok(match is_answered {
                    false if is_about_size(&reason) => ReconcileOutcome::TooLarge(reason.to_string()),
                    false if reason.prefix == Prefix::AuthRequired => {
                        ReconcileOutcome::AuthRequired(reason.to_string())
                    }
                    false => ReconcileOutcome::Unsupported,
                    true => return Err(RemoteError::Refused(reason.to_string()).into()),
                });
            }
            // How relays refuse that do not know or do not want reconciliation.
            Some(RelayMessage::Notice(_)) if !is_answered => return Ok(ReconcileOutcome::Unsupported),
            Some(RelayMessage::Closed { subscription, reason }) if !is_answered && subscription == id => {
                return Ok(match reason.prefix {
                    Prefix::AuthRequired => ReconcileOutcome::AuthRequired(reason.to_string()),
                    _ => ReconcileOutcome::Unsupported,
                });
            }
            _ => continue,
        };
        is_answered = true;
        let difference = reconciliation.step(&answer).map_err(protocol)?;
        all.add(difference.have, difference.need)?;
        match difference.next {
            Some(next) => {
                remote.send(&message(ReconcileStep::Continue(next))).await?;
                wait = AnswerWait::new();
            }
            None => {
                remote.send(&message(ReconcileStep::Close)).await?;
                return Ok(ReconcileOutcome::Done);
            }
        }
    }
    Err(RemoteError::TooMuch.into())
}

/// Whether a refusal says that the query is too large, so that a smaller one may succeed (NIP-77: `blocked: this query
/// is too big`).
fn is_about_size(reason: &Reason) -> bool {
    reason.prefix == Prefix::Blocked
        && ["too big", "too many", "too much", "too large"].iter().any(|words| reason.text.contains(words))
}

/// Transfers the missing events to each side.
pub(super) async fn transfer_missing(
    local: &mut LocalSide<'_>,
    remote: &mut Remote,
    differences: Differences,
    direction: Direction,
    stop: &AtomicBool,
    sync: &mut Synchronization,
    progress: &mut dyn FnMut(&Synchronization),
) -> Result<(), SyncError> {
    let count = |ids: &[EventId]| Some(u64::try_from(ids.len()).unwrap_or(u64::MAX));
    let need: Vec<EventId> = differences.need.into_iter().collect();
    let have: Vec<EventId> = differences.have.into_iter().collect();
    (sync.to_fetch, sync.to_send) = (count(&need), count(&have));
    progress(sync);
    if direction.is_down() {
        for ids in need.chunks(EVENTS_PER_BATCH) {
            fetch(local, remote, ids, stop, sync).await?;
            progress(sync);
        }
    }
    if direction.is_up() {
        for ids in have.chunks(EVENTS_PER_BATCH) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            remote.send_all(local.load(ids)?, stop, &mut sync.up).await?;
            progress(sync);
        }
    }
    Ok(())
}

/// Fetches events, as many per request as the relay returns.
async fn fetch(
    local: &mut LocalSide<'_>,
    remote: &mut Remote,
    ids: &[EventId],
    stop: &AtomicBool,
    sync: &mut Synchronization,
) -> Result<(), SyncError> {
    let mut left: OneOf<EventId> = ids.iter().copied().collect();
    while !left.is_empty() && !stop.load(Ordering::Relaxed) {
        let limit = u64::try_from(left.len()).ok();
        let filter = Filter { ids: Some(left.clone()), limit, ..Filter::default() };
        let page = remote.fetch(&filter, stop).await?;
        let came: OneOf<EventId> = page.events.iter().map(|event| event.id).collect();
        if came.is_empty() {
            sync.withheld = sync.withheld.saturating_add(u64::try_from(left.len()).unwrap_or(u64::MAX));
            return Ok(());
        }
        let events = keep_verified(page.events, &mut sync.down);
        local.insert(events, stop, &mut sync.down).await?;
        left = left.iter().filter(|id| !came.contains(*id)).copied().collect();
    }
    Ok(())
}
