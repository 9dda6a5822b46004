//! A request to vanish (NIP-62) reaches what the agent has on record about its author.

use nostr_sdk::nostr::{Keys, ToBech32 as _};
use openagents_tests::events::{event, fresh_author, now};
use openagents_tests::http::{authorization, request};
use openagents_tests::jobs::{self, ask};
use openagents_tests::server::Server;
use openagents_tests::wire::{Client, PATIENCE};
use serde_json::json;
use std::time::{Duration, Instant};

use crate::servers::{Servers, scenarios};

scenarios![
    whoever_vanishes_is_forgotten_by_the_agent,
    a_request_to_vanish_from_another_relay_makes_the_agent_forget_nothing,
];

/// What the agent's operator reads at this path, or the status if that is not 200.
async fn record(server: &Server, path: &str) -> String {
    let path = format!("/agent/{}/{path}", server.agent().to_bech32().expect("an npub"));
    let url = format!("http://{}{path}", server.address());
    let header = authorization(server.keys().expect("a key"), now(), "GET", &url);
    let answer =
        request(server.address(), "GET", &path, &[("Authorization", &header)]).await.expect("an answer");
    if answer.status == 200 {
        String::from_utf8(answer.body).expect("text")
    } else {
        answer.status.to_string()
    }
}

/// Which records name this customer: history, conversations, memory.
async fn named_in(server: &Server, customer: &Keys) -> [bool; 3] {
    let key = customer.public_key().to_hex();
    let mut found = [false; 3];
    for (found, path) in found.iter_mut().zip(["history", "sessions", "memory"]) {
        *found = record(server, path).await.contains(&key);
    }
    found
}

/// Has two jobs of this customer done, after which the agent has everything about them, and leaves one running.
async fn become_known(server: &Server, client: &mut Client, customer: &Keys) {
    let key = customer.public_key().to_hex();
    let remembered = jobs::request(customer, 5990, Some(server.agent()), "my name is Ada", &[("key", &key)]);
    ask(client, &remembered).await.result();
    let large = "x".repeat(20_000);
    let echoed = jobs::request(customer, 5900, Some(server.agent()), &large, &[]);
    ask(client, &echoed).await.result();
    let details = record(server, &format!("history/{}.json", echoed.id)).await;
    assert!(details.matches(&large).count() == 4, "the request and its result are shown as they were sent");
    let running = jobs::request(customer, 5904, Some(server.agent()), "", &[("milliseconds", "600000")]);
    client.publish_accepted(&running).await;
    assert_eq!(named_in(server, customer).await, [true; 3]);
}

async fn answers(client: &mut Client, customer: &Keys) -> usize {
    let key = customer.public_key().to_hex();
    client.query(&[json!({"#p": [key], "kinds": [6900, 6990, 7000], "limit": 100})]).await.len()
}

async fn whoever_vanishes_is_forgotten_by_the_agent(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let (ada, grace) = (fresh_author(), fresh_author());
    for customer in [&ada, &grace] {
        become_known(&server, &mut client, customer).await;
    }
    client.publish_accepted(&event(&ada, 62, &[&["relay", "ALL_RELAYS"]], "")).await;
    let began = Instant::now();
    while named_in(&server, &ada).await != [false; 3] || answers(&mut client, &ada).await > 0 {
        assert!(began.elapsed() < PATIENCE, "{:?} after {PATIENCE:?}", named_in(&server, &ada).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(named_in(&server, &grace).await, [true; 3]);
    assert!(answers(&mut client, &grace).await >= 2);
    // The run of the one who vanished was dropped, that of the other goes on.
    let metrics = request(server.address(), "GET", "/metrics", &[]).await.expect("an answer");
    let metrics = String::from_utf8(metrics.body).expect("text");
    assert!(metrics.contains("openagents_jobs_unfinished 1\n"), "{metrics}");
}

async fn a_request_to_vanish_from_another_relay_makes_the_agent_forget_nothing(servers: &Servers) {
    let server = servers.own("probe");
    let mut client = Client::connect(&server.url()).await;
    let (ada, grace) = (fresh_author(), fresh_author());
    become_known(&server, &mut client, &ada).await;
    client.publish_accepted(&event(&ada, 62, &[&["relay", "wss://elsewhere.example"]], "")).await;
    // Events are handed over in their order.
    become_known(&server, &mut client, &grace).await;
    assert_eq!(named_in(&server, &ada).await, [true; 3]);
    assert!(answers(&mut client, &ada).await >= 2);
}
