//! Finds the outputs of other jobs on relays (NIP-90, job chaining).

use std::collections::BTreeSet;

use openagents_host::{Event, EventId};
use openagents_relay::Filter;

use crate::engine::WantedOutput;
use crate::host_port::HandlerHost;
use crate::log;

/// The most relays queried for the inputs of one job.
const MAX_ASKED: usize = 8;

/// The most bytes of events kept for the inputs of one job; the inputs themselves are smaller.
const MAX_FOUND: usize = 2_500_000;

/// All events that could be one of these outputs, from the agent's own relay and from relays that may have them: the
/// requests, their results, and results named directly.
pub(crate) async fn outputs(host: &dyn HandlerHost, wanted: &[WantedOutput]) -> Vec<Event> {
    let ids: Vec<EventId> = wanted.iter().map(|wanted| wanted.event).collect();
    let named = Filter::new().ids(ids.iter().copied()).limit(100);
    let results = Filter::new().events(ids.iter().copied()).limit(100);
    let filters = vec![named, results];
    let mut events = host.events(filters.clone()).await.unwrap_or_default();
    let urls: BTreeSet<&str> = wanted.iter().flat_map(|wanted| &wanted.relays).map(String::as_str).collect();
    let mut room = MAX_FOUND;
    for url in urls.into_iter().take(MAX_ASKED) {
        match host.external_events(url, filters.clone()).await {
            Ok(found) => {
                for event in found {
                    let fits = ids.contains(&event.id) || (6_000..=6_999).contains(&event.kind.0);
                    if let Some(left) = room.checked_sub(event.json().len()).filter(|_| fits) {
                        room = left;
                        events.push((*event).clone());
                    }
                }
            }
            Err(error) => log::warn(format_args!("cannot read the output of a job from {url}: {error}")),
        }
    }
    events
}
