//! Live subscriptions (NIP-01): who gets which events, and for how long.

use openagents_tests::events::{event, fresh_author, note};
use openagents_tests::wire::{Client, Frame};
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    a_new_event_reaches_every_subscriber,
    a_subscriber_hears_its_own_events,
    stored_events_come_before_the_end_and_live_ones_after,
    an_event_that_matches_no_filter_is_not_sent,
    a_live_event_comes_once_per_subscription,
    close_ends_a_subscription,
    closing_what_is_not_open_does_no_harm,
    a_second_request_replaces_the_first,
    subscription_ids_belong_to_their_connection,
    limit_does_not_bound_live_events,
    since_and_until_hold_for_live_events,
    a_duplicate_is_not_sent_again,
    a_client_that_vanishes_disturbs_nobody,
    answers_a_ping,
    a_message_in_two_fragments_is_one,
];

async fn a_new_event_reaches_every_subscriber(servers: &Servers) {
    let author = fresh_author();
    let mut subscribers = Vec::new();
    for _ in 0..8 {
        let mut client = servers.client().await;
        client.subscribe("live", &[json!({"authors": [author.public_key()]})]).await;
        subscribers.push(client);
    }
    let event = note(&author, "to everyone");
    servers.client().await.publish_accepted(&event).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.next_event("live").await, event);
    }
}

async fn a_subscriber_hears_its_own_events(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    client.subscribe("mine", &[json!({"authors": [author.public_key()]})]).await;
    let event = note(&author, "to myself");
    client.publish_accepted(&event).await;
    assert_eq!(client.next_event("mine").await, event);
}

async fn stored_events_come_before_the_end_and_live_ones_after(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let before = note(&author, "before");
    client.publish_accepted(&before).await;
    let stored = client.subscribe("both", &[json!({"authors": [author.public_key()]})]).await;
    assert_eq!(stored, [before]);
    let after = note(&author, "after");
    client.publish_accepted(&after).await;
    assert_eq!(client.next_event("both").await, after);
}

async fn an_event_that_matches_no_filter_is_not_sent(servers: &Servers) {
    let mut subscriber = servers.client().await;
    let mut publisher = servers.client().await;
    let author = fresh_author();
    let filter = json!({"authors": [author.public_key()], "kinds": [1], "#t": ["wanted"]});
    subscriber.subscribe("choosy", &[filter]).await;
    publisher.publish_accepted(&event(&author, 1, &[&["t", "other"]], "")).await;
    publisher.publish_accepted(&event(&author, 2, &[&["t", "wanted"]], "")).await;
    publisher.publish_accepted(&event(&fresh_author(), 1, &[&["t", "wanted"]], "")).await;
    subscriber.expect_silence().await;
    let wanted = event(&author, 1, &[&["t", "wanted"]], "");
    publisher.publish_accepted(&wanted).await;
    assert_eq!(subscriber.next_event("choosy").await, wanted);
}

async fn a_live_event_comes_once_per_subscription(servers: &Servers) {
    let mut subscriber = servers.client().await;
    let author = fresh_author();
    let all = json!({"authors": [author.public_key()]});
    let notes = json!({"authors": [author.public_key()], "kinds": [1]});
    subscriber.subscribe("first", &[all.clone(), notes]).await;
    subscriber.subscribe("second", &[all]).await;
    let event = note(&author, "once each");
    servers.client().await.publish_accepted(&event).await;
    assert_eq!(subscriber.next_event("first").await, event);
    assert_eq!(subscriber.next_event("second").await, event);
    subscriber.expect_silence().await;
}

async fn close_ends_a_subscription(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    client.subscribe("ending", &[json!({"authors": [author.public_key()]})]).await;
    client.close("ending").await;
    client.publish_accepted(&note(&author, "unheard")).await;
    client.expect_silence().await;
    client.expect_alive().await;
}

async fn closing_what_is_not_open_does_no_harm(servers: &Servers) {
    let mut client = servers.client().await;
    client.close("never-opened").await;
    client.expect_alive().await;
}

async fn a_second_request_replaces_the_first(servers: &Servers) {
    let mut client = servers.client().await;
    let (ada, grace) = (fresh_author(), fresh_author());
    client.subscribe("same", &[json!({"authors": [ada.public_key()]})]).await;
    client.subscribe("same", &[json!({"authors": [grace.public_key()]})]).await;
    client.publish_accepted(&note(&ada, "no longer heard")).await;
    let heard = note(&grace, "heard");
    client.publish_accepted(&heard).await;
    assert_eq!(client.next_event("same").await, heard);
}

async fn subscription_ids_belong_to_their_connection(servers: &Servers) {
    let mut first = servers.client().await;
    let mut second = servers.client().await;
    let (ada, grace) = (fresh_author(), fresh_author());
    first.subscribe("same", &[json!({"authors": [ada.public_key()]})]).await;
    second.subscribe("same", &[json!({"authors": [grace.public_key()]})]).await;
    second.close("same").await;
    second.expect_alive().await;
    let event = note(&ada, "for the first");
    second.publish_accepted(&event).await;
    assert_eq!(first.next_event("same").await, event);
    second.expect_silence().await;
}

async fn limit_does_not_bound_live_events(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    client.subscribe("limited", &[json!({"authors": [author.public_key()], "limit": 1})]).await;
    for content in ["one", "two", "three"] {
        let event = note(&author, content);
        client.publish_accepted(&event).await;
        assert_eq!(client.next_event("limited").await, event);
    }
}

async fn since_and_until_hold_for_live_events(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let event = note(&author, "in time");
    let time = event.created_at.as_secs();
    client.subscribe("past", &[json!({"authors": [author.public_key()], "until": time - 100})]).await;
    client.subscribe("future", &[json!({"authors": [author.public_key()], "since": time + 100})]).await;
    client
        .subscribe("present", &[json!({"authors": [author.public_key()], "since": time, "until": time})])
        .await;
    client.publish_accepted(&event).await;
    assert_eq!(client.next_event("present").await, event);
    client.expect_silence().await;
}

async fn a_duplicate_is_not_sent_again(servers: &Servers) {
    let mut subscriber = servers.client().await;
    let mut publisher = servers.client().await;
    let author = fresh_author();
    subscriber.subscribe("once", &[json!({"authors": [author.public_key()]})]).await;
    let event = note(&author, "published twice");
    publisher.publish_accepted(&event).await;
    publisher.publish_accepted(&event).await;
    assert_eq!(subscriber.next_event("once").await, event);
    subscriber.expect_silence().await;
}

async fn a_client_that_vanishes_disturbs_nobody(servers: &Servers) {
    let server = servers.hello_world();
    let author = fresh_author();
    let filter = json!({"authors": [author.public_key()]});
    let mut staying = Client::connect(&server.url()).await;
    staying.subscribe("staying", std::slice::from_ref(&filter)).await;
    for _ in 0..10 {
        let mut leaving = Client::connect(&server.url()).await;
        leaving.subscribe("leaving", std::slice::from_ref(&filter)).await;
        leaving.vanish();
    }
    let event = note(&author, "still here?");
    staying.publish_accepted(&event).await;
    assert_eq!(staying.next_event("staying").await, event);
}

async fn answers_a_ping(servers: &Servers) {
    let mut client = servers.client().await;
    client.ping(b"are you there").await;
    client.expect_alive().await;
}

async fn a_message_in_two_fragments_is_one(servers: &Servers) {
    let mut client = servers.client().await;
    let nobody = "00".repeat(32);
    let text = json!(["REQ", "fragmented", {"ids": [nobody]}]).to_string();
    let (head, tail) = text.split_at(text.len() / 2);
    client.send_fragments(&[head.as_bytes(), tail.as_bytes()]).await;
    assert_eq!(client.receive().await, Frame::EndOfStored("fragmented".to_owned()));
}
