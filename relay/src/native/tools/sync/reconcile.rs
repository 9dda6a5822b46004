//! Synchronization with a relay that supports reconciliation (NIP-77).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use openagents_host::EventId;
use openagents_host::nostr::MAX_CREATED_AT;
use openagents_host::nostr::message::{ClientMessage, ReconcileStep, RelayMessage};
use openagents_host::nostr::reason::Reason;

use super::local::{LocalSide, keep_verified};
use super::refusal_cause::RefusalCause;
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

/// How many queries in a row the relay may consider too large. Halving all possible times down to one second takes 86.
const MAX_TOO_LARGE_IN_A_ROW: u32 = 100;

/// How many queries one comparison may be split into.
const MAX_QUERIES: u32 = 20_000;

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

/// What comparing both sides found.
pub(super) struct Comparison {
    /// The events that each side lacks; `None` if nothing could be reconciled.
    pub(super) differences: Option<Differences>,
    /// The parts of the query that the relay does not reconcile.
    pub(super) refused: Vec<Filter>,
}

/// The outcome of a reconciliation.
enum ReconcileOutcome {
    Done,
    /// The relay considers the query too large.
    TooLarge,
    /// The relay requires authentication, for this reason.
    AuthRequired(String),
    /// The relay wants fewer requests, for this reason.
    Busy(String),
    /// The relay does not support reconciliation.
    Unsupported,
}

/// Finds the events that each side lacks. A query that is too large for the relay is split in halves of its time range.
/// What the relay does not reconcile, be it a single second with too many events or everything, is left to be paged.
pub(super) async fn compare(
    local: &LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    stop: &AtomicBool,
) -> Result<Comparison, SyncError> {
    let mut all = Differences::default();
    let mut refused = Vec::new();
    let mut has_reconciled = false;
    let (mut queries, mut too_large_in_a_row) = (0_u32, 0_u32);
    let whole = (filter.since.unwrap_or(0), filter.until.unwrap_or(MAX_CREATED_AT));
    let mut spans = vec![whole];
    while let Some(span) = spans.pop() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let part = within(span, whole, filter);
        queries = queries.saturating_add(1);
        let may_split = queries < MAX_QUERIES && too_large_in_a_row < MAX_TOO_LARGE_IN_A_ROW;
        match reconcile_span(local, remote, &part, stop, &mut all).await? {
            ReconcileOutcome::Done => {
                has_reconciled = true;
                too_large_in_a_row = 0;
            }
            ReconcileOutcome::TooLarge if may_split => {
                too_large_in_a_row = too_large_in_a_row.saturating_add(1);
                match halves(span) {
                    Some(halves) => spans.extend(halves),
                    None => refused.push(part),
                }
            }
            // `reconcile_span` authenticates or waits, and repeats the query.
            ReconcileOutcome::AuthRequired(reason) | ReconcileOutcome::Busy(reason) => {
                return Err(RemoteError::Refused(reason).into());
            }
            ReconcileOutcome::TooLarge | ReconcileOutcome::Unsupported => {
                refused.push(part);
                refused.extend(spans.drain(..).rev().map(|span| within(span, whole, filter)));
            }
        }
    }
    Ok(match has_reconciled {
        true => Comparison { differences: Some(all), refused },
        false => Comparison { differences: None, refused: vec![filter.clone()] },
    })
}

/// The filter for a part of its time range.
fn within((since, until): (u64, u64), whole: (u64, u64), filter: &Filter) -> Filter {
    match (since, until) == whole {
        true => filter.clone(),
        false => Filter { since: Some(since), until: Some(until), ..filter.clone() },
    }
}

/// The two halves of a time range, the later one last; `None` for a single second.
fn halves((since, until): (u64, u64)) -> Option<[(u64, u64); 2]> {
    if since >= until {
        return None;
    }
    // The midpoint of all possible times is far in the future; that of the times in use splits better.
    let end = if since < LATEST { until.min(LATEST) } else { until };
    let middle = since.midpoint(end);
    Some([(since, middle), (middle.saturating_add(1), until)])
}

/// The latest second at which events are expected: 2100-01-01.
const LATEST: u64 = 4_102_444_800;

/// Reconciles one part of the query. It is repeated after authentication, and after a pause if the relay wants fewer
/// requests.
async fn reconcile_span(
    local: &LocalSide<'_>,
    remote: &mut Remote,
    filter: &Filter,
    stop: &AtomicBool,
    all: &mut Differences,
) -> Result<ReconcileOutcome, SyncError> {
    let (mut has_authenticated, mut pauses) = (false, 0);
    loop {
        match reconcile_once(local, remote, filter, stop, all).await? {
            ReconcileOutcome::AuthRequired(reason) => {
                remote.authenticate_once(&mut has_authenticated, reason, stop).await?;
            }
            ReconcileOutcome::Busy(reason) => remote.pause_after(&mut pauses, reason, stop).await?,
            outcome => return Ok(outcome),
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
    let mut wait = remote.wait_for_reconciliation();
    for _ in 0..MAX_MESSAGES {
        let received = match remote.receive(&wait, stop).await {
            // How relays behave that do not know reconciliation.
            Err(RemoteError::Silent) if !is_answered => {
                remote.send(&message(ReconcileStep::Close)).await?;
                return Ok(ReconcileOutcome::Unsupported);
            }
            received => received?,
        };
        let answer = match received {
            Some(RelayMessage::Reconcile { subscription, message }) if subscription == id => {
                let Ok(answer) = base16ct::mixed::decode_vec(&message) else { continue };
                answer
            }
            Some(RelayMessage::ReconcileRefused { subscription, reason }) if subscription == id => {
                return Ok(refusal(&reason, is_answered)?);
            }
            // Also how relays refuse that do not know or do not want reconciliation.
            Some(RelayMessage::Closed { subscription, reason }) if !is_answered && subscription == id => {
                return Ok(refusal(&reason, is_answered)?);
            }
            Some(RelayMessage::Notice(text)) if !is_answered => {
                return Ok(refusal(&Reason::parse(&text), is_answered)?);
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

/// What a refusal means for the reconciliation.
fn refusal(reason: &Reason, is_answered: bool) -> Result<ReconcileOutcome, RemoteError> {
    match (RefusalCause::of(reason), is_answered) {
        (RefusalCause::Quota, _) => Ok(ReconcileOutcome::Busy(reason.to_string())),
        (_, true) => Err(RemoteError::Refused(reason.to_string())),
        (RefusalCause::Size, false) => Ok(ReconcileOutcome::TooLarge),
        (RefusalCause::Authentication, false) => Ok(ReconcileOutcome::AuthRequired(reason.to_string())),
        (RefusalCause::Other, false) => Ok(ReconcileOutcome::Unsupported),
    }
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

#[cfg(test)]
mod tests {
    use openagents_host::nostr::MAX_CREATED_AT;

    use super::{LATEST, MAX_TOO_LARGE_IN_A_ROW, halves};

    #[test]
    fn splits_down_to_single_seconds() {
        for is_later in [false, true] {
            let mut span = (0, MAX_CREATED_AT);
            let mut splits = 0;
            while let Some([earlier, later]) = halves(span) {
                assert_eq!((earlier.0, earlier.1 + 1, later.1), (span.0, later.0, span.1));
                assert!(earlier.0 <= earlier.1 && later.0 <= later.1, "{earlier:?} {later:?}");
                span = if is_later { later } else { earlier };
                splits += 1;
            }
            assert!(splits < MAX_TOO_LARGE_IN_A_ROW, "{splits}");
        }
        assert_eq!(halves((LATEST, LATEST + 2)), Some([(LATEST, LATEST + 1), (LATEST + 2, LATEST + 2)]));
        assert_eq!(halves((7, 7)), None);
        assert_eq!(halves((8, 7)), None);
    }
}
