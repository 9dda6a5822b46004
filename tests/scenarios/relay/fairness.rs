//! One network's requests do not hold up those of another, whatever they read.

use std::time::Duration;

use openagents_tests::events::{event, fresh_author};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::{Client, Frame};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    many_counts_of_one_network_do_not_hold_up_another,
    a_network_that_has_read_too_much_is_refused_and_others_are_not,
];

/// How many events a `COUNT` of their topic reads.
const EVENTS: usize = 300;
const TOPIC: &str = "common";

async fn fill(server: &Server) {
    let (author, mut client) = (fresh_author(), Client::connect(&server.url()).await);
    for number in 0..EVENTS {
        client.publish_accepted(&event(&author, 1, &[&["t", TOPIC]], &number.to_string())).await;
    }
}

fn count() -> Value {
    json!(["COUNT", "count", {"#t": [TOPIC]}])
}

/// A server that trusts the client's address header, with another limit on look-ups if one is given.
fn server(servers: &Servers, look_ups: Option<&str>) -> Server {
    let mut variables = vec![("RELAY_TRUSTED_PROXIES", "127.0.0.1".to_owned())];
    variables.extend(look_ups.map(|number| ("RELAY_MAX_LOOK_UPS_PER_MINUTE", number.to_owned())));
    servers.own_with("hello-world", &variables)
}

async fn client_from(server: &Server, address: &str) -> Client {
    Client::try_connect_from(&server.url(), address).await.expect("a connection")
}

async fn many_counts_of_one_network_do_not_hold_up_another(servers: &Servers) {
    let server = server(servers, None);
    fill(&server).await;
    let mut other = client_from(&server, "192.0.2.2").await;
    let mut counting = Vec::new();
    for _ in 0..4 {
        let mut client = client_from(&server, "192.0.2.1").await;
        for _ in 0..100 {
            client.send(&count()).await;
        }
        counting.push(client);
    }
    other.publish_accepted(&event(&fresh_author(), 1, &[], "in between")).await;
    assert_eq!(other.query(&[json!({"#t": [TOPIC], "limit": EVENTS})]).await.len(), EVENTS);
    // The counts are answered all the same.
    for mut client in counting {
        for _ in 0..100 {
            let answer = client.receive_within(Duration::from_secs(60)).await;
            assert!(matches!(&answer, Some(Frame::Count(..))), "{answer:?}");
        }
    }
}

async fn a_network_that_has_read_too_much_is_refused_and_others_are_not(servers: &Servers) {
    if servers.host() == Host::NativeForgetful {
        // Its engine reads by itself, but its rates are those of a native process, which charges its reader threads.
        return;
    }
    let server = server(servers, Some("2000"));
    fill(&server).await;
    let mut client = client_from(&server, "192.0.2.1").await;
    let mut answered = 0;
    let refused = loop {
        client.send(&count()).await;
        match client.receive().await {
            Frame::Closed(_, reason) => break reason,
            _ => answered += 1,
        }
        assert!(answered < 40, "nothing was refused");
    };
    assert!(
        answered > 1 && refused.starts_with("rate-limited: your requests read too much; try again in "),
        "{refused}"
    );
    client.publish_accepted(&event(&fresh_author(), 1, &[], "writing goes on")).await;
    let mut other = client_from(&server, "192.0.2.2").await;
    other.send(&count()).await;
    let answer = other.receive().await;
    assert!(matches!(&answer, Frame::Count(..)), "{answer:?}");
}
