//! Other relays than the agent's own: where requests are too, where answers are wanted, and where other jobs' outputs are.

mod connection;
// Natively relays are listened to all the time.
#[cfg(any(target_arch = "wasm32", test))]
mod look;

use std::collections::BTreeSet;

use openagents_host::nostr::Filter;
use openagents_host::nostr::tag::TagName;
use openagents_host::outgoing::{Reach, RelayClient, public_url};
use openagents_host::{Event, EventId, Kind, PublicKey, Timestamp};

use crate::agent::{Jobs, Requests};
use crate::engine::Wanted;
use crate::log;
use crate::nip90::DELETION;
use crate::surroundings::Surroundings;

pub(crate) use connection::Connection;
#[cfg(target_arch = "wasm32")]
pub(crate) use look::look;

/// The relay list of a person (NIP-65).
const RELAY_LIST: Kind = Kind(10_002);

/// How many relays are asked for the outputs that one job waits for.
const MAX_ASKED: usize = 8;

/// A relay's address in the one form in which it is kept and compared; nothing when it is none, or may not be reached.
pub(crate) fn relay_address(url: &str, reach: Reach) -> Option<String> {
    let url = public_url(url.trim(), &["wss", "ws"], reach).ok()?;
    let text = url.as_str();
    if text.len() > MAX_ADDRESS {
        return None;
    }
    // Only here does the slash mean nothing.
    let is_bare = url.path() == "/" && url.query().is_none();
    Some(if is_bare { text.trim_end_matches('/') } else { text }.to_owned())
}

/// The outside relays that an agent serves: those of its settings, each once, and not its own.
pub(crate) fn served(relays: &[String], own: Option<&str>, reach: Reach) -> Vec<String> {
    let own = own.and_then(|own| relay_address(own, Reach::Anywhere));
    let relays: BTreeSet<String> = relays.iter().filter_map(|relay| relay_address(relay, reach)).collect();
    relays.into_iter().filter(|relay| own.as_ref() != Some(relay)).collect()
}

/// Which events of an outside relay concern an agent.
#[derive(Clone, Debug)]
pub(crate) struct Concern {
    kinds: Vec<u16>,
    /// The agent, if only requests that name it concern it.
    named: Option<PublicKey>,
}

impl Concern {
    /// What concerns the agent `A` with this key.
    pub(crate) fn of<A: Jobs>(me: PublicKey) -> Self {
        Self {
            kinds: A::HANDLERS.iter().map(|handler| handler.declaration.kind).collect(),
            named: (A::DECLARATION.requests == Requests::Named).then_some(me),
        }
    }

    /// The filters (NIP-01) for requests and cancellations made from `since` on.
    pub(crate) fn filters(&self, since: Timestamp) -> [Filter; 2] {
        let since = since.as_seconds();
        let mut requests = Filter::new().kinds(self.kinds.iter().copied()).since(since);
        if let Some(me) = self.named {
            requests = requests.pubkeys([me]);
        }
        let mut cancellations = Filter::new().kinds([DELETION.0]).since(since);
        cancellations.tags.insert(TagName::K, self.kinds.iter().map(u16::to_string).collect());
        [requests, cancellations]
    }
}

/// The relays that a customer reads from (NIP-65), as the agent's own relay knows them, which `own` asks, or else the one
/// that the request came from.
pub(crate) async fn read_by<F: Future<Output = Vec<Event>>>(
    customer: PublicKey,
    source: &str,
    reach: Reach,
    own: impl FnOnce(Vec<Filter>) -> F,
) -> Vec<String> {
    let lists = own(vec![Filter::new().kinds([RELAY_LIST.0]).authors([customer]).limit(1)]).await;
    if let Some(list) = lists.first() {
        return read_relays(list);
    }
    let asked = async {
        let mut relay = RelayClient::connect(source, reach).await?;
        let filter = Filter::new().kinds([RELAY_LIST.0]).authors([customer]).limit(1);
        let lists = relay.query(&[filter]).await;
        relay.close().await;
        lists
    };
    match asked.await {
        Ok(lists) => {
            let newest = lists.into_iter().max_by_key(|list| list.created_at);
            newest.map(|list| read_relays(&list)).unwrap_or_default()
        }
        Err(error) => {
            log::warn(format_args!("{source} was asked for the relays that {customer} reads from: {error}"));
            Vec::new()
        }
    }
}

/// The relays that the author of a relay list reads from.
fn read_relays(list: &Event) -> Vec<String> {
    let reads = |tag: &&Vec<String>| tag.get(2).is_none_or(|marker| marker != "write");
    list.tags_named("r").filter(reads).filter_map(|tag| tag.get(1)).cloned().collect()
}

/// How long a relay's address may be, in bytes.
const MAX_ADDRESS: usize = 2_048;

/// How much is kept of what relays have for one job, in bytes: the outputs that a job is given are smaller.
const MAX_FOUND: usize = 2_500_000;

/// Everything on the agent's own relay and on those where it may be that could be one of these outputs: the requests, their
/// results, and results named directly.
pub(crate) async fn outputs(surroundings: &dyn Surroundings, wanted: &[Wanted]) -> Vec<Event> {
    let ids: Vec<EventId> = wanted.iter().map(|wanted| wanted.event).collect();
    let named = Filter::new().ids(ids.iter().copied()).limit(100);
    let results = Filter::new().events(ids.iter().copied()).limit(100);
    let filters = vec![named, results];
    let mut events = surroundings.events(filters.clone()).await.unwrap_or_default();
    let urls: BTreeSet<&str> = wanted.iter().flat_map(|wanted| &wanted.relays).map(String::as_str).collect();
    let mut room = MAX_FOUND;
    for url in urls.into_iter().take(MAX_ASKED) {
        let asked = async {
            let mut relay = RelayClient::connect(url, surroundings.reach()).await?;
            let found = relay.query(&filters).await;
            relay.close().await;
            found
        };
        match asked.await {
            Ok(found) => {
                for event in found {
                    let fits = ids.contains(&event.id) || (6_000..=6_999).contains(&event.kind.0);
                    if let Some(left) = room.checked_sub(event.json().len()).filter(|_| fits) {
                        room = left;
                        events.push((*event).clone());
                    }
                }
            }
            Err(error) => log::warn(format_args!("{url} was asked for the output of a job: {error}")),
        }
    }
    events
}

#[cfg(test)]
pub(crate) mod tests;
