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

/// After a page with which it has read this many bytes, a poll ends.
const MAX_BYTES: usize = 10_000_000;

/// What a poll has read.
pub(crate) struct PollPages {
    pub(crate) events: Vec<VerifiedEvent>,
    /// The second up to which there may be more: the next poll goes on from there.
    pub(crate) rest: Option<u64>,
}

/// Connects, reads the events since `since` that concern the agent, and disconnects. It reads the newest, or those up
/// to the second `until`, if there are too many for one poll. Of a second with more events than a page, one page is
/// read: relays have no way to ask for the others.
pub(crate) async fn poll(
    url: &str,
    reach: Reach,
    keys: &Keys,
    filter: &RequestFilter,
    since: Timestamp,
    until: Option<u64>,
) -> Result<PollPages, RelayError> {
    let mut relay = RelayClient::connect(url, reach, keys).await?;
    let found = read(&mut relay, filter, since, until).await;
    relay.close().await;
    found
}

async fn read(
    relay: &mut RelayClient,
    filter: &RequestFilter,
    since: Timestamp,
    mut until: Option<u64>,
) -> Result<PollPages, RelayError> {
    let mut found = BTreeMap::new();
    let mut bytes = 0_usize;
    for _ in 0..MAX_PAGES {
        let mut rest = None;
        for filter in filter.filters(since) {
            let mut events = relay.query(&[page(filter, until)]).await?;
            // A relay that ignores `until` sends the same page again and again.
            events.retain(|event| until.is_none_or(|until| event.created_at <= until));
            let length: usize = events.iter().map(|event| event.json().len()).sum();
            bytes = bytes.saturating_add(length);
            if events.len() >= SHORT_PAGE || length >= FULL_PAGE {
                rest = rest.max(events.iter().map(|event| event.created_at).min());
            }
            found.extend(events.into_iter().map(|event| (event.id, event)));
        }
        // Other events may have been made in the oldest second, so it is queried again, but only once.
        until = rest.map(|oldest| if until == rest { oldest.saturating_sub(1) } else { oldest });
        if until.is_none() || bytes >= MAX_BYTES {
            break;
        }
    }
    Ok(PollPages { events: found.into_values().collect(), rest: until })
}

fn page(filter: Filter, until: Option<u64>) -> Filter {
    Filter { until, limit: Some(PAGE), ..filter }
}

#[cfg(test)]
mod tests {
    use openagents_host::{Kind, UnsignedEvent};

    use super::*;
    use crate::relays::tests::{Relay, agent, filter, request};

    #[tokio::test]
    async fn reads_more_than_a_page() {
        let relay = Relay::start().await;
        for number in 0..1_200 {
            relay.store(&request(5_050, 1_000 + number / 7, number));
        }
        relay.store(&request(5_050, 10, 5_000));
        let found =
            poll(&relay.url(), Reach::Anywhere, &agent(), &filter(), Timestamp::from_seconds(1_000), None)
                .await
                .unwrap();
        assert_eq!((found.events.len(), found.rest), (1_200, None));
    }

    #[tokio::test]
    async fn reads_nothing_where_there_is_nothing() {
        let relay = Relay::start().await;
        let found =
            poll(&relay.url(), Reach::Anywhere, &agent(), &filter(), Timestamp::EPOCH, None).await.unwrap();
        assert!(found.events.is_empty() && found.rest.is_none());
        assert_eq!(relay.requests(), 2, "job requests, and cancellations");
    }

    /// Polls until nothing is left. Returns how many events each poll read, and all of them.
    async fn read_all(relay: &Relay) -> (Vec<usize>, BTreeMap<openagents_host::EventId, VerifiedEvent>) {
        let (mut until, mut polls, mut found) = (None, Vec::new(), BTreeMap::new());
        loop {
            let pages = poll(
                &relay.url(),
                Reach::Anywhere,
                &agent(),
                &filter(),
                Timestamp::from_seconds(1_000),
                until,
            )
            .await
            .unwrap();
            polls.push(pages.events.len());
            found.extend(pages.events.into_iter().map(|event| (event.id, event)));
            until = pages.rest;
            if until.is_none() || polls.len() > 20 {
                return (polls, found);
            }
        }
    }

    #[tokio::test]
    async fn a_flood_hides_nothing() {
        let relay = Relay::start().await;
        let honest = request(5_050, 1_000, 0);
        relay.store(&honest);
        for number in 1..=4_500 {
            relay.store(&request(5_050, 1_001 + number / 9, number));
        }
        let (polls, found) = read_all(&relay).await;
        assert!(polls.len() > 2 && polls.iter().all(|length| *length <= 2_000), "{polls:?}");
        assert_eq!(found.len(), 4_501);
        assert!(found.contains_key(&honest.id));
    }

    #[tokio::test]
    async fn a_flood_of_requests_does_not_hide_a_cancellation_and_the_other_way_round() {
        let relay = Relay::start().await;
        for number in 0..1_200 {
            relay.store(&request(5_050, 1_500 + number, number));
            let deletion = UnsignedEvent::new(Kind(5), number.to_string()).tag(["k", "5050"]);
            relay.store(&deletion.sign(&agent(), Timestamp::from_seconds(1_000 + number)));
        }
        let (_, found) = read_all(&relay).await;
        let requests = found.values().filter(|event| event.kind.0 == 5_050).count();
        assert_eq!((requests, found.len()), (1_200, 2_400));
    }

    #[tokio::test]
    async fn a_second_with_more_events_than_a_page_does_not_hold_up_the_rest() {
        let relay = Relay::start().await;
        let honest = request(5_050, 1_100, 0);
        relay.store(&honest);
        for number in 1..=700 {
            relay.store(&request(5_050, 1_200, number));
        }
        let (polls, found) = read_all(&relay).await;
        assert_eq!(polls.len(), 1);
        assert!(found.contains_key(&honest.id));
    }

    #[tokio::test]
    async fn a_relay_that_ignores_the_time_is_not_asked_for_ever() {
        let relay = Relay::start().await;
        for number in 0..600 {
            relay.store(&request(5_050, 2_000, number));
        }
        relay.ignore_time();
        let (polls, _) = read_all(&relay).await;
        assert_eq!(polls.len(), 1);
    }
}
