//! Polls an external relay for requests.

use std::collections::BTreeMap;

use openagents_host::net::{Reach, RelayClient, RelayError};
use openagents_host::nostr::Filter;
use openagents_host::{Keys, Timestamp, VerifiedEvent};

use super::RequestFilter;

/// The most events in one page.
const PAGE: u64 = 500;

/// The most pages in one poll.
const MAX_PAGES: usize = 4;

/// A shorter page is the last one. Relays have their own limits, which may be below the requested one.
const SHORT_PAGE: usize = 50;

/// A page cut off by size has at least this many bytes: half of what the client reads at most.
const FULL_PAGE: usize = 2_500_000;

/// Connects, reads the events since `since` that concern the agent, and disconnects. If there are too many, it reads
/// the newest.
pub(crate) async fn poll(
    url: &str,
    reach: Reach,
    keys: &Keys,
    filter: &RequestFilter,
    since: Timestamp,
) -> Result<Vec<VerifiedEvent>, RelayError> {
    let mut relay = RelayClient::connect(url, reach, keys).await?;
    let found = read(&mut relay, filter, since).await;
    relay.close().await;
    found
}

async fn read(
    relay: &mut RelayClient,
    filter: &RequestFilter,
    since: Timestamp,
) -> Result<Vec<VerifiedEvent>, RelayError> {
    let mut found = BTreeMap::new();
    let mut until: Option<u64> = None;
    for _ in 0..MAX_PAGES {
        let filters = filter.filters(since).map(|filter| page(filter, until));
        let events = relay.query(&filters).await?;
        let (length, before) = (events.len(), found.len());
        // A page that was cut off by size is not the last one.
        let bytes: usize = events.iter().map(|event| event.json().len()).sum();
        // Other events may have been made in that second, so it is queried again.
        until = events.iter().map(|event| event.created_at).min();
        found.extend(events.into_iter().map(|event| (event.id, event)));
        if (length < SHORT_PAGE && bytes < FULL_PAGE) || found.len() == before {
            break;
        }
    }
    Ok(found.into_values().collect())
}

fn page(filter: Filter, until: Option<u64>) -> Filter {
    Filter { until, limit: Some(PAGE), ..filter }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relays::tests::{Relay, agent, filter, request};

    #[tokio::test]
    async fn reads_more_than_a_page() {
        let relay = Relay::start().await;
        for number in 0..1_200 {
            relay.store(&request(5_050, 1_000 + number / 7, number));
        }
        relay.store(&request(5_050, 10, 5_000));
        let found = poll(&relay.url(), Reach::Anywhere, &agent(), &filter(), Timestamp::from_seconds(1_000))
            .await
            .unwrap();
        assert_eq!(found.len(), 1_200);
    }

    #[tokio::test]
    async fn reads_nothing_where_there_is_nothing() {
        let relay = Relay::start().await;
        let found = poll(&relay.url(), Reach::Anywhere, &agent(), &filter(), Timestamp::EPOCH).await.unwrap();
        assert!(found.is_empty());
        assert_eq!(relay.requests(), 1);
    }
}
