//! One network's requests do not hold up those of another, whatever they read.

use std::time::Duration;

use openagents_tests::events::{event, fresh_author};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::{Client, Frame, PATIENCE};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    many_counts_of_one_network_do_not_hold_up_another,
    many_searches_of_one_network_do_not_hold_up_another,
    what_waits_too_long_in_line_is_refused,
    a_network_that_has_read_too_much_is_refused_and_others_are_not,
];

/// How many events a `COUNT` of their topic reads.
const EVENTS: usize = 300;
const TOPIC: &str = "common";

async fn fill(server: &Server) {
    let (author, mut client) = (fresh_author(), Client::connect(&server.url()).await);
    for number in 0..EVENTS {
        let tags: [&[&str]; 2] = [&["t", TOPIC], &["x", TOPIC]];
        client.publish_accepted(&event(&author, 1, &tags, &number.to_string())).await;
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

/// One address sends this request many times on several connections, and another publishes and reads before most of
/// them are answered. An answer begins with this text.
async fn do_not_hold_up(servers: &Servers, request: &Value, each: usize, answer: &str) {
    let server = server(servers, Some("0"));
    fill(&server).await;
    let mut other = client_from(&server, "192.0.2.2").await;
    let mut asking = Vec::new();
    for _ in 0..4 {
        asking.push((client_from(&server, "192.0.2.1").await, 0));
    }
    let note = event(&fresh_author(), 1, &[], "in between");
    for (client, _) in &mut asking {
        for _ in 0..each {
            client.send(request).await;
        }
    }
    other.publish_accepted(&note).await;
    other.send(&json!(["REQ", "feed", {"#t": [TOPIC], "limit": EVENTS}])).await;
    let mut found = 0;
    while !other.receive_text_within(PATIENCE).await.expect("an answer").starts_with("[\"EOSE\"") {
        found += 1;
    }
    assert_eq!(found, EVENTS);
    for (client, answered) in &mut asking {
        while let Some(text) = client.receive_text_within(Duration::ZERO).await {
            *answered += usize::from(text.starts_with(answer));
        }
    }
    let answered: usize = asking.iter().map(|(_, answered)| answered).sum();
    // That host's engine does everything in the order in which it comes.
    let is_fair = servers.host() != Host::NativeForgetful;
    assert!(!is_fair || answered < each * 2, "{answered} of {} were answered before", each * 4);
    for (client, answered) in &mut asking {
        while *answered < each {
            let text = client.receive_text_within(Duration::from_secs(60)).await.expect("an answer");
            assert!(text.starts_with(answer) || text.starts_with("[\"EVENT\""), "{text}");
            *answered += usize::from(text.starts_with(answer));
        }
    }
}

async fn many_counts_of_one_network_do_not_hold_up_another(servers: &Servers) {
    // With each of these, every event is compared.
    let values = if servers.host() == Host::Workerd { 100 } else { 1_000 };
    let values: Vec<String> =
        (0..values).map(|number| number.to_string()).chain([TOPIC.to_owned()]).collect();
    let long = json!(["COUNT", "count", {"#t": [TOPIC], "#x": values}]);
    do_not_hold_up(servers, &long, 10, "[\"COUNT\"").await;
}

async fn many_searches_of_one_network_do_not_hold_up_another(servers: &Servers) {
    let search = json!(["REQ", "search", {"search": "1", "limit": 1}]);
    do_not_hold_up(servers, &search, 100, "[\"EOSE\"").await;
}

/// An object refuses what does not fit into its queue; a process does not read from connections whose requests wait. All
/// are answered.
async fn what_waits_too_long_in_line_is_refused(servers: &Servers) {
    let server = server(servers, None);
    fill(&server).await;
    let (mut clients, mut refused, each) = (Vec::new(), 0, 400);
    for _ in 0..4 {
        clients.push(client_from(&server, "192.0.2.1").await);
    }
    let request = count().to_string();
    for client in &mut clients {
        for _ in 0..each {
            client.send_text(&request).await;
        }
    }
    for client in &mut clients {
        for _ in 0..each {
            match client.receive_within(Duration::from_secs(60)).await.expect("an answer") {
                Frame::Count(..) => {}
                Frame::Closed(_, reason) if reason.starts_with("rate-limited: too many messages wait") => {
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(refused > 0, servers.host() == Host::Workerd, "{refused} were refused");
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
