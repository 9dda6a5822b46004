//! Requests to vanish (NIP-62).

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event_at, fresh_author, now};
use openagents_tests::wire::Client;
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    everything_of_whoever_vanishes_is_gone_but_the_request,
    nothing_of_whoever_vanished_comes_back,
    gift_wraps_for_whoever_vanished_are_gone,
    what_was_deleted_before_stays_deleted,
    newer_events_of_whoever_vanished_are_welcome,
    a_request_to_another_relay_removes_nothing_here,
    a_request_to_vanish_cannot_be_deleted,
    many_events_are_gone_at_once,
];

fn request(author: &Keys, second: u64, relay: &str) -> Event {
    event_at(author, second, 62, &[&["relay", relay]], "please")
}

async fn of(client: &mut Client, author: &Keys) -> Vec<Event> {
    client.query(&[json!({"authors": [author.public_key()], "limit": 500})]).await
}

async fn expect_blocked(client: &mut Client, event: &Event) {
    let answer = client.publish(event).await;
    assert!(answer.refused_as("blocked"), "{answer:?}");
}

async fn everything_of_whoever_vanishes_is_gone_but_the_request(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, stranger, time) = (fresh_author(), fresh_author(), now());
    let name = author.public_key().to_hex();
    for (kind, tags) in [(1, vec![]), (0, vec![]), (30_023, vec!["d", "x"]), (5, vec!["e", &name])] {
        let tags: Vec<&[&str]> = if tags.is_empty() { vec![] } else { vec![&tags] };
        client.publish_accepted(&event_at(&author, time - 10, kind, &tags, "")).await;
    }
    let mention = event_at(&stranger, time - 10, 1, &[&["p", &name]], "hello");
    client.publish_accepted(&mention).await;
    let request = request(&author, time - 5, "ALL_RELAYS");
    client.publish_accepted(&request).await;
    assert_eq!(of(&mut client, &author).await, [request]);
    assert_eq!(of(&mut client, &stranger).await, [mention]);
}

async fn nothing_of_whoever_vanished_comes_back(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    let event = event_at(&author, time - 10, 1, &[], "gone");
    client.publish_accepted(&event).await;
    let vanish = request(&author, time - 5, "ALL_RELAYS");
    client.publish_accepted(&vanish).await;
    expect_blocked(&mut client, &event).await;
    expect_blocked(&mut client, &event_at(&author, time - 5, 1, &[], "never seen before")).await;
    expect_blocked(&mut client, &request(&author, time - 7, "ALL_RELAYS")).await;
    let again = client.publish(&vanish).await;
    assert!(again.accepted && again.message.starts_with("duplicate:"), "{again:?}");
    assert_eq!(of(&mut client, &author).await, [vanish]);
}

async fn gift_wraps_for_whoever_vanished_are_gone(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    let name = author.public_key().to_hex();
    let wrap = |second, content: &str| event_at(&fresh_author(), second, 1_059, &[&["p", &name]], content);
    let (before, unseen, after) = (wrap(time - 10, "before"), wrap(time - 9, "unseen"), wrap(time, "after"));
    client.publish_accepted(&before).await;
    client.publish_accepted(&request(&author, time - 5, "ALL_RELAYS")).await;
    expect_blocked(&mut client, &before).await;
    expect_blocked(&mut client, &unseen).await;
    client.publish_accepted(&after).await;
}

async fn what_was_deleted_before_stays_deleted(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    let event = event_at(&author, time - 3, 1, &[], "newer than the request to vanish");
    let id = event.id.to_hex();
    client.publish_accepted(&event_at(&author, time - 10, 5, &[&["e", &id]], "")).await;
    client.publish_accepted(&request(&author, time - 5, "ALL_RELAYS")).await;
    expect_blocked(&mut client, &event).await;
}

async fn newer_events_of_whoever_vanished_are_welcome(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    let kept = event_at(&author, time - 4, 1, &[], "already there");
    client.publish_accepted(&kept).await;
    let request = request(&author, time - 5, "ALL_RELAYS");
    client.publish_accepted(&request).await;
    let next = event_at(&author, time, 1, &[], "a new life");
    client.publish_accepted(&next).await;
    assert_eq!(of(&mut client, &author).await, [next, kept, request]);
}

async fn a_request_to_another_relay_removes_nothing_here(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    let event = event_at(&author, time - 10, 1, &[], "still here");
    client.publish_accepted(&event).await;
    let elsewhere = request(&author, time - 5, "wss://elsewhere.example/");
    client.publish_accepted(&elsewhere).await;
    // `ALL_RELAYS` only counts in upper case.
    let lower = request(&author, time - 4, "all_relays");
    client.publish_accepted(&lower).await;
    assert_eq!(of(&mut client, &author).await, [lower, elsewhere, event]);
}

async fn a_request_to_vanish_cannot_be_deleted(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    let event = event_at(&author, time - 10, 1, &[], "gone");
    let request = request(&author, time - 5, "ALL_RELAYS");
    client.publish_accepted(&request).await;
    let id = request.id.to_hex();
    let deletion = event_at(&author, time, 5, &[&["e", &id]], "");
    client.publish_accepted(&deletion).await;
    assert_eq!(of(&mut client, &author).await, [deletion, request]);
    expect_blocked(&mut client, &event).await;
}

async fn many_events_are_gone_at_once(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    for number in 0..60 {
        let event = event_at(&author, time - 100 + number, 1, &[&["t", "many"]], &number.to_string());
        client.publish_accepted(&event).await;
    }
    let request = request(&author, time - 5, "ALL_RELAYS");
    client.publish_accepted(&request).await;
    assert_eq!(of(&mut client, &author).await, [request]);
    let by_topic = json!({"#t": ["many"], "authors": [author.public_key()]});
    assert_eq!(client.query(&[by_topic]).await, []);
}
