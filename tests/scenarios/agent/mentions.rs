//! Events that mention an agent (`#[event(kind = …, mentions)]`).

use std::time::Duration;

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, fresh_author};
use openagents_tests::jobs::{ask, request};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::servers::{Servers, scenarios};

scenarios![
    a_note_that_mentions_the_agent_is_answered_once,
    a_note_that_mentions_others_is_not_handled,
    an_event_that_fails_is_tried_again_or_given_up,
    an_event_is_handled_once_even_after_a_kill,
    the_agent_does_not_answer_itself,
];

fn mention(author: &Keys, server: &Server, text: &str) -> Event {
    event(author, 1, &[&["p", &server.agent().to_hex()]], text)
}

/// The texts and attempts that the agent has committed.
async fn steps(server: &Server) -> Value {
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5907, Some(server.agent()), "", &[]);
    let said = ask(&mut client, &request).await;
    let state: Value = serde_json::from_str(&said.result().content).expect("the state as JSON");
    state["steps"].clone()
}

/// Waits until the agent has committed these.
async fn until(server: &Server, expected: &Value) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = steps(server).await;
        if found == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found}, not {expected}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The replies to an event.
async fn replies(client: &mut Client, to: &Event) -> Vec<Event> {
    client.query(&[json!({ "kinds": [1], "#e": [to.id.to_hex()] })]).await
}

async fn a_note_that_mentions_the_agent_is_answered_once(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let note = mention(&fresh_author(), &server, "hello");
    client.publish_accepted(&note).await;
    until(&server, &json!(["hello 1"])).await;
    // The relay has it already, so nothing happens.
    client.publish_accepted(&note).await;
    sleep(Duration::from_secs(1)).await;
    until(&server, &json!(["hello 1"])).await;
    let replies = replies(&mut client, &note).await;
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!((replies[0].content.as_str(), replies[0].pubkey), ("re: hello", server.agent()));
}

async fn a_note_that_mentions_others_is_not_handled(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let (author, other) = (fresh_author(), fresh_author().public_key().to_hex());
    client.publish_accepted(&event(&author, 1, &[&["p", &other]], "for another")).await;
    client.publish_accepted(&event(&author, 1, &[], "for nobody")).await;
    client.publish_accepted(&event(&author, 7, &[&["p", &server.agent().to_hex()]], "+")).await;
    client.publish_accepted(&mention(&author, &server, "for the agent")).await;
    until(&server, &json!(["for the agent 1"])).await;
}

async fn an_event_that_fails_is_tried_again_or_given_up(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let author = fresh_author();
    let given_up = mention(&author, &server, "give up");
    client.publish_accepted(&given_up).await;
    client.publish_accepted(&mention(&author, &server, "fail")).await;
    // What the failed attempts did to the state is dropped.
    until(&server, &json!(["fail 2"])).await;
    assert!(replies(&mut client, &given_up).await.is_empty());
}

async fn an_event_is_handled_once_even_after_a_kill(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let author = fresh_author();
    let (done, interrupted) = (mention(&author, &server, "done"), mention(&author, &server, "wait"));
    client.publish_accepted(&done).await;
    until(&server, &json!(["done 1"])).await;
    client.publish_accepted(&interrupted).await;
    sleep(Duration::from_millis(500)).await;
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    until(&server, &json!(["done 1", "wait 2"])).await;
    let mut client = Client::connect(&server.url()).await;
    for note in [&done, &interrupted] {
        let deadline = Instant::now() + Duration::from_secs(10);
        while replies(&mut client, note).await.len() != 1 {
            assert!(Instant::now() < deadline, "{:?}", replies(&mut client, note).await);
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn the_agent_does_not_answer_itself(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    // Its replies mention the agent.
    client.publish_accepted(&mention(&fresh_author(), &server, "echo")).await;
    until(&server, &json!(["echo 1"])).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(steps(&server).await, json!(["echo 1"]));
}
