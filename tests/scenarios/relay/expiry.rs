//! Expiration of events (NIP-40).

use std::time::Duration;

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, event_at, fresh_author, now};
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    an_expired_event_is_refused,
    an_event_is_not_served_once_it_is_expired,
    an_event_that_has_time_is_served_and_sent,
    an_end_that_is_no_number_is_none,
    an_expired_version_stands_in_nobodys_way,
];

fn ending(author: &Keys, kind: u16, expiration: u64) -> Event {
    event(author, kind, &[&["expiration", &expiration.to_string()]], "for a while")
}

async fn an_expired_event_is_refused(servers: &Servers) {
    let mut client = servers.client().await;
    // An expiration does not affect how ephemeral events are handled, except that expired ones are dropped like all
    // others.
    for kind in [1, 0, 30_023, 5_050, 20_001] {
        let author = fresh_author();
        let event = ending(&author, kind, now() - 1);
        let answer = client.publish(&event).await;
        assert!(answer.refused_as("invalid"), "kind {kind}: {answer:?}");
        assert_eq!(client.query(&[json!({"authors": [author.public_key()]})]).await, []);
    }
}

async fn an_event_is_not_served_once_it_is_expired(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = ending(&author, 1, now() + 3);
    client.publish_accepted(&event).await;
    let id = event.id.to_hex();
    let filters = [json!({"ids": [id]}), json!({"authors": [author.public_key()], "kinds": [1]})];
    for filter in &filters {
        assert_eq!(client.query(std::slice::from_ref(filter)).await.len(), 1, "{filter}");
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    for filter in &filters {
        assert_eq!(client.query(std::slice::from_ref(filter)).await, [], "{filter}");
    }
    let answer = client.publish(&event).await;
    assert!(answer.refused_as("invalid"), "{answer:?}");
}

async fn an_event_that_has_time_is_served_and_sent(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    client.subscribe("a while", &[json!({"authors": [author.public_key()]})]).await;
    let event = ending(&author, 1, now() + 3_600);
    client.publish_accepted(&event).await;
    assert_eq!(client.next_event("a while").await, event);
    assert_eq!(client.query(&[json!({"ids": [event.id]})]).await, [event]);
}

async fn an_end_that_is_no_number_is_none(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    for value in ["", "soon", "-1", "99999999999999999999"] {
        let event = event(&author, 1, &[&["expiration", value]], value);
        client.publish_accepted(&event).await;
        assert_eq!(client.query(&[json!({"ids": [event.id]})]).await, [event], "{value}");
    }
}

async fn an_expired_version_stands_in_nobodys_way(servers: &Servers) {
    let mut client = servers.client().await;
    let (author, time) = (fresh_author(), now());
    client.publish_accepted(&ending(&author, 0, time + 2)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let older = event_at(&author, time - 60, 0, &[], "older, and still true");
    client.publish_accepted(&older).await;
    assert_eq!(client.query(&[json!({"authors": [author.public_key()]})]).await, [older]);
}
