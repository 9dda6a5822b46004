//! Retention: how long events of some kinds are kept.

use std::time::Duration;

use openagents_tests::events::{event, event_at, fresh_author, note, now};
use openagents_tests::jobs::{self, ask, request};
use openagents_tests::server::Server;
use openagents_tests::wire::{Client, Frame};
use serde_json::json;

use crate::servers::{Servers, scenarios};

scenarios![
    an_event_that_is_kept_for_a_while_is_served_until_then,
    an_event_of_a_kind_that_is_not_kept_is_sent_but_not_stored,
    an_ephemeral_kind_can_be_kept_for_a_while,
    requests_that_are_not_kept_for_long_are_done_all_the_same,
];

fn server(servers: &Servers, deployment: &'static str, rules: &str) -> Server {
    servers.own_with(deployment, &[("RELAY_RETENTION", rules.to_owned())])
}

/// The number of events by an author.
async fn count(client: &mut Client, author: &str) -> u64 {
    client.send(&json!(["COUNT", "c", {"authors": [author]}])).await;
    let answer = |frame: &Frame| match frame {
        Frame::Count(_, count) => count["count"].as_u64(),
        _ => None,
    };
    client.find(answer, "COUNT").await
}

async fn an_event_that_is_kept_for_a_while_is_served_until_then(servers: &Servers) {
    let server = server(servers, "hello-world", "1=4s,10002=4s");
    let mut client = Client::connect(&server.url()).await;
    let author = fresh_author();
    let key = author.public_key().to_hex();
    client.subscribe("live", &[json!({"authors": [key]})]).await;
    // The event's `created_at` makes no difference.
    let kept = event_at(&author, now() - 3_600, 1, &[], "an ostrich for a while");
    client.publish_accepted(&kept).await;
    assert_eq!(client.next_event("live").await, kept);
    let list = event_at(&author, now() - 60, 10_002, &[], "");
    client.publish_accepted(&list).await;
    let lasting = event(&author, 7, &[], "+");
    client.publish_accepted(&lasting).await;
    let filters = [json!({"ids": [kept.id]}), json!({"authors": [key], "search": "ostrich"})];
    for filter in &filters {
        let found = client.query(std::slice::from_ref(filter)).await;
        assert_eq!(found, std::slice::from_ref(&kept), "{filter}");
    }
    assert_eq!(count(&mut client, &key).await, 3);
    tokio::time::sleep(Duration::from_secs(6)).await;
    for filter in &filters {
        assert_eq!(client.query(std::slice::from_ref(filter)).await, [], "{filter}");
    }
    assert_eq!(client.query(&[json!({"authors": [key]})]).await, [lasting]);
    assert_eq!(count(&mut client, &key).await, 1);
    // Events removed by retention can be published again, and do not block older versions.
    client.publish_accepted(&kept).await;
    assert_eq!(client.query(&[json!({"ids": [kept.id]})]).await, [kept]);
    let older = event_at(&author, now() - 600, 10_002, &[], "older");
    client.publish_accepted(&older).await;
    assert_eq!(client.query(&[json!({"kinds": [10_002], "authors": [key]})]).await, [older]);
}

async fn an_event_of_a_kind_that_is_not_kept_is_sent_but_not_stored(servers: &Servers) {
    let server = server(servers, "hello-world", "1=0");
    let mut client = Client::connect(&server.url()).await;
    let author = fresh_author();
    let unheard = client.publish(&note(&author, "is anybody there?")).await;
    assert!(unheard.refused_as("mute"), "{unheard:?}");
    let mut listener = Client::connect(&server.url()).await;
    listener.subscribe("live", &[json!({"authors": [author.public_key()]})]).await;
    let heard = note(&author, "somebody is");
    client.publish_accepted(&heard).await;
    assert_eq!(listener.next_event("live").await, heard);
    assert_eq!(client.query(&[json!({"authors": [author.public_key()]})]).await, []);
}

async fn an_ephemeral_kind_can_be_kept_for_a_while(servers: &Servers) {
    let server = server(servers, "hello-world", "20000-20999=1h");
    let mut client = Client::connect(&server.url()).await;
    let author = fresh_author();
    let kept = event(&author, 20_999, &[], "for those who come later");
    client.publish_accepted(&kept).await;
    assert!(client.publish(&event(&author, 21_000, &[], "for nobody")).await.refused_as("mute"));
    assert_eq!(client.query(&[json!({"authors": [author.public_key()]})]).await, [kept]);
}

async fn requests_that_are_not_kept_for_long_are_done_all_the_same(servers: &Servers) {
    let server = server(servers, "probe", "5900=0,5901-5999=30s,7000=1h");
    let mut client = Client::connect(&server.url()).await;
    let customer = fresh_author();
    let passed_on = request(&customer, 5_900, Some(server.agent()), "hello", &[]);
    assert_eq!(ask(&mut client, &passed_on).await.result().content, "hello");
    let answers = jobs::stored(&mut client, &passed_on).await;
    assert_eq!(
        (answers.result().content.as_str(), answers.statuses()),
        ("hello", vec!["processing".to_owned()])
    );
    let kept = request(&customer, 5_901, Some(server.agent()), "hello", &[]);
    ask(&mut client, &kept).await;
    let found = client.query(&[json!({"ids": [passed_on.id, kept.id]})]).await;
    assert_eq!(found, [kept]);
}
