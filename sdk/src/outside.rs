//! Other relays than the agent's own: where answers are wanted, and where other jobs' outputs are.

use std::collections::BTreeSet;

use openagents_host::outgoing::{PublishOutcome, Reach, RelayClient, RelayError};
use openagents_host::{Event, EventId, Kind, VerifiedEvent};
use openagents_relay::Filter;
use serde_json::json;

use crate::engine::{Delivery, Destination, Wanted};
use crate::log;
use crate::surroundings::Surroundings;

/// The relay list of a person (NIP-65).
const RELAY_LIST: Kind = Kind(10_002);

/// On how many of the relays that a customer reads from an answer is published.
const MAX_READ_RELAYS: usize = 3;

/// How many relays are asked for the outputs that one job waits for.
const MAX_ASKED: usize = 8;

/// Brings an event to an outside relay. `own` asks the agent's own relay, for relay lists.
pub(crate) async fn deliver<F: Future<Output = Vec<Event>>>(
    to: &Destination,
    event: &VerifiedEvent,
    reach: Reach,
    own: impl FnOnce(Vec<Filter>) -> F,
) -> Delivery {
    match to {
        // Not outside; the hosts bring these themselves.
        Destination::Own => Delivery::Unreachable("this is for the agent's own relay".to_owned()),
        Destination::Relay(url) => publish(url, event, reach).await,
        Destination::ReadBy(customer) => {
            let list = Filter::new().kinds([RELAY_LIST.0]).authors([*customer]).limit(1);
            let lists = own(vec![list]).await;
            for url in lists.first().map(read_relays).unwrap_or_default() {
                if let Delivery::Unreachable(reason) = publish(&url, event, reach).await {
                    log::warn(format_args!("{customer} reads from {url}, which was not reached: {reason}"));
                }
            }
            Delivery::Accepted
        }
    }
}

/// The relays that the author of a relay list reads from.
fn read_relays(list: &Event) -> Vec<String> {
    let reads = |tag: &&Vec<String>| tag.get(2).is_none_or(|marker| marker != "write");
    let relays = list.tags_named("r").filter(reads).filter_map(|tag| tag.get(1)).cloned();
    relays.take(MAX_READ_RELAYS).collect()
}

async fn publish(url: &str, event: &VerifiedEvent, reach: Reach) -> Delivery {
    let published = async {
        let mut relay = RelayClient::connect(url, reach).await?;
        let outcome = relay.publish(event).await;
        relay.close().await;
        outcome
    };
    match published.await {
        Ok(PublishOutcome::Accepted) => Delivery::Accepted,
        Ok(PublishOutcome::Refused(reason)) => Delivery::Refused(reason),
        Err(error @ RelayError::Socket(_)) => Delivery::Unreachable(format!("{url}: {error}")),
        Err(error) => Delivery::Unreachable(format!("{url}: {error}")),
    }
}

/// Everything on the agent's own relay and on those where it may be that could be one of these outputs: the requests, their
/// results, and results named directly.
pub(crate) async fn outputs(surroundings: &dyn Surroundings, wanted: &[Wanted]) -> Vec<Event> {
    let ids: Vec<EventId> = wanted.iter().map(|wanted| wanted.event).collect();
    let named = Filter::new().ids(ids.iter().copied()).limit(100);
    let results = Filter::new().limit(100).tag('e', ids.iter().map(EventId::to_hex));
    let filters = [Some(named), results.ok()].into_iter().flatten().collect();
    let mut events = surroundings.events(filters).await.unwrap_or_default();
    let urls: BTreeSet<&str> = wanted.iter().flat_map(|wanted| &wanted.relays).map(String::as_str).collect();
    for url in urls.into_iter().take(MAX_ASKED) {
        let asked = async {
            let mut relay = RelayClient::connect(url, surroundings.reach()).await?;
            let filters = [
                json!({"ids": ids, "limit": 100}),
                json!({"#e": ids, "limit": 100}),
            ];
            let found = relay.query(&filters).await;
            relay.close().await;
            found
        };
        match asked.await {
            Ok(found) => events.extend(found.into_iter().map(|event| (*event).clone())),
            Err(error) => log::warn(format_args!("{url} was asked for the output of a job: {error}")),
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Timestamp, UnsignedEvent};

    use super::{RELAY_LIST, read_relays};

    #[test]
    fn knows_where_a_customer_reads() {
        let list = UnsignedEvent::new(RELAY_LIST, "")
            .tag(["r", "wss://both.example"])
            .tag(["r", "wss://write.example", "write"])
            .tag(["r", "wss://read.example", "read"])
            .tag(["r"])
            .sign(&Keys::from_secret(&[3; 32]).unwrap(), Timestamp::from_seconds(1));
        assert_eq!(read_relays(&list), ["wss://both.example", "wss://read.example"]);
    }
}
