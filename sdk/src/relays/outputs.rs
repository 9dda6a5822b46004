//! Finds the outputs of other jobs on relays (NIP-90, job chaining).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use openagents_host::net::{RelayError, RelayLimits};
use openagents_host::{Event, EventId, Kind, PublicKey, timeout};
use openagents_relay::Filter;

use super::silent::SilentRelays;
use crate::engine::MAX_OUTPUT;
use crate::host_port::HandlerHost;
use crate::log;
use crate::nip90::{JobRequest, JobResultEvent, RESULTS, result_kind};
use crate::relay_address::relay_host;

/// The most external relays queried at once for the inputs of one job, each on a host of its own.
const MAX_AT_ONCE: usize = 4;

/// How long an external relay may take.
const RELAY_TIMEOUT: Duration = Duration::from_secs(3);

/// How long all external relays together may take.
const TIMEOUT: Duration = Duration::from_secs(7);

/// What is read from an external relay in one query.
const LIMITS: RelayLimits =
    RelayLimits { timeout: RELAY_TIMEOUT, idle: RELAY_TIMEOUT, max_events: 100, max_bytes: MAX_FOUND };

/// The most bytes of events kept for the inputs of one job; the inputs themselves are smaller.
const MAX_FOUND: usize = 2_500_000;

/// The most results read for a request that is known.
const MAX_RESULTS: u64 = 20;

/// The most providers by whom results are searched; the results of a request that names more are searched by any author.
const MAX_AUTHORS: usize = 32;

/// The most results read from a relay for requests that are not known.
const MAX_RESULTS_OF_UNKNOWN: u64 = 20;

/// Events that could be one of these outputs, from the agent's own relay and then from `relays`, which are queried
/// together until every output is found: the requests, their results, and results named directly. Results of one relay
/// are in the order of their `created_at`.
pub(crate) async fn outputs(
    host: &dyn HandlerHost,
    silent: &SilentRelays,
    wanted: &[EventId],
    relays: &[String],
) -> Vec<Event> {
    let mut search = OutputSearch::new(wanted.iter().copied().collect());
    search.add(host.events(vec![search.named()]).await.unwrap_or_default());
    search.add(host.events(search.results()).await.unwrap_or_default());
    let relays: Vec<&str> = relays.iter().map(String::as_str).filter(|url| !silent.is_pausing(url)).collect();
    // What was found in time is kept.
    timeout(TIMEOUT, search_on(host, silent, relays, &mut search)).await;
    search.found
}

async fn search_on(
    host: &dyn HandlerHost,
    silent: &SilentRelays,
    mut relays: Vec<&str>,
    search: &mut OutputSearch,
) {
    let mut queried = Vec::new();
    let mut answers = FuturesUnordered::new();
    while !search.is_complete() {
        while answers.len() < MAX_AT_ONCE
            && let Some(next) = relays.iter().position(|url| !queried.contains(&relay_host(url)))
        {
            let url = relays.remove(next);
            queried.push(relay_host(url));
            answers.push(query(host, url, search.results().into_iter().chain([search.named()]).collect()));
        }
        let Some((url, answer)) = answers.next().await else { return };
        match answer {
            Ok(found) => {
                silent.answered(url);
                let before = search.requests.len();
                search.add(found);
                // This relay has just told whom a request was for: events by others may have hidden its results.
                if search.requests.len() > before && !search.has_results() {
                    answers.push(query(host, url, search.results()));
                    continue;
                }
            }
            Err(error) => {
                silent.failed(url, &error);
                log::warn(format_args!("cannot read the output of a job from {url}: {error}"));
            }
        }
        queried.retain(|host| *host != relay_host(url));
    }
}

/// What an external relay answers in time.
async fn query<'a>(
    host: &dyn HandlerHost,
    url: &'a str,
    filters: Vec<Filter>,
) -> (&'a str, Result<Vec<Event>, RelayError>) {
    let answer = timeout(RELAY_TIMEOUT, host.external_events(url, filters, LIMITS)).await;
    let answer = answer.unwrap_or(Err(RelayError::Timeout { after: RELAY_TIMEOUT }));
    (url, answer.map(|found| found.iter().map(|event| (**event).clone()).collect()))
}

/// What is wanted and what was found.
struct OutputSearch {
    wanted: BTreeSet<EventId>,
    requests: BTreeMap<EventId, KnownRequest>,
    found: Vec<Event>,
    seen: BTreeSet<EventId>,
    /// How many more bytes may be kept.
    room: usize,
}

/// What results a request may have.
struct KnownRequest {
    created_at: u64,
    result: Kind,
    /// Empty if anyone may answer.
    providers: Vec<PublicKey>,
}

impl OutputSearch {
    fn new(wanted: BTreeSet<EventId>) -> Self {
        let (requests, seen) = (BTreeMap::new(), BTreeSet::new());
        Self { wanted, requests, found: Vec::new(), seen, room: MAX_FOUND }
    }

    /// The filter for the wanted events themselves: requests, or results named directly.
    fn named(&self) -> Filter {
        let limit = u64::try_from(self.wanted.len()).unwrap_or(u64::MAX);
        Filter::new().ids(self.wanted.iter().copied()).limit(limit)
    }

    /// The filters for the results of the wanted requests. Other events that refer to a request, and results by those
    /// that it was not for, do not count towards the limit: anyone could publish many of them to hide the result.
    fn results(&self) -> Vec<Filter> {
        let (named, open): (Vec<_>, Vec<_>) = self
            .requests
            .iter()
            .partition(|(_, request)| (1..=MAX_AUTHORS).contains(&request.providers.len()));
        let authors: Vec<PublicKey> =
            named.iter().flat_map(|(_, request)| &request.providers).copied().collect();
        let by_named = results_of(&named).map(|filter| filter.authors(authors));
        let unknown: Vec<EventId> =
            self.wanted.iter().filter(|id| !self.requests.contains_key(id)).copied().collect();
        let of_unknown = (!unknown.is_empty())
            .then(|| Filter::new().kinds(RESULTS).events(unknown).limit(MAX_RESULTS_OF_UNKNOWN));
        by_named.into_iter().chain(results_of(&open)).chain(of_unknown).collect()
    }

    /// Whether each known request has a result by a provider that it was for.
    fn has_results(&self) -> bool {
        self.requests.iter().all(|(id, request)| {
            let fits = |event: &&Event| {
                event.kind == request.result
                    && is_usable(event)
                    && event.created_at >= request.created_at
                    && (request.providers.is_empty() || request.providers.contains(&event.pubkey))
            };
            let mut results = self.found.iter().filter(fits).filter_map(JobResultEvent::from_event);
            results.any(|result| result.request == *id)
        })
    }

    /// Whether there is an output for each wanted event that any job may use.
    fn is_complete(&self) -> bool {
        let of_all = self.wanted.iter().all(|id| {
            self.requests.contains_key(id)
                || self.found.iter().any(|event| event.id == *id && is_usable(event))
        });
        of_all && self.has_results()
    }

    /// Keeps what one query of one relay has found.
    fn add(&mut self, events: impl IntoIterator<Item = Event>) {
        let mut events: Vec<Event> = events.into_iter().collect();
        // Requests first: without them, no result is of use.
        events.sort_by_key(|event| (!self.wanted.contains(&event.id), event.created_at, event.id));
        for event in events {
            let is_wanted = self.wanted.contains(&event.id);
            if self.seen.contains(&event.id) || !(is_wanted || RESULTS.contains(&event.kind.0)) {
                continue;
            }
            let Some(room) = self.room.checked_sub(size(&event)) else { continue };
            self.room = room;
            self.seen.insert(event.id);
            if is_wanted {
                self.note_request(&event);
            }
            self.found.push(event);
        }
    }

    fn note_request(&mut self, event: &Event) {
        let Some(request) = event.clone().verify().ok().and_then(|event| JobRequest::from_event(event).ok())
        else {
            return;
        };
        let known = KnownRequest {
            created_at: event.created_at,
            result: result_kind(request.kind()),
            providers: request.providers,
        };
        self.requests.insert(event.id, known);
    }
}

/// The filter for the results of these requests, if there are any.
fn results_of(requests: &[(&EventId, &KnownRequest)]) -> Option<Filter> {
    let since = requests.iter().map(|(_, request)| request.created_at).min()?;
    let limit = requests.iter().fold(0_u64, |limit, _| limit.saturating_add(MAX_RESULTS));
    let kinds = requests.iter().map(|(_, request)| request.result.0);
    let events = requests.iter().map(|(id, _)| **id);
    Some(Filter::new().kinds(kinds).events(events).since(since).limit(limit))
}

/// Whether an event is a result that any job may use.
fn is_usable(event: &Event) -> bool {
    event.content.len() <= MAX_OUTPUT
        && JobResultEvent::from_event(event).is_some_and(|result| !result.encrypted)
}

/// About how many bytes an event takes.
fn size(event: &Event) -> usize {
    let tags = event.tags.iter().flatten().map(String::len);
    tags.fold(event.content.len(), usize::saturating_add)
}

#[cfg(test)]
mod tests;
