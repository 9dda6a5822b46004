//! External relays that require authentication (NIP-42): an agent authenticates with its key, as a customer, as a
//! reader and with its answers.

use std::time::Duration;

use nostr_sdk::nostr::Event;
use openagents_tests::events::{event, fresh_author, identification};
use openagents_tests::jobs::{self, ask, follow, listen, request};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios![
    a_request_on_a_relay_that_requires_authentication_is_answered_there,
    an_answer_goes_to_a_relay_that_requires_authentication,
    inputs_are_read_from_relays_that_require_authentication,
    an_agent_hires_through_its_relay_that_requires_authentication,
];

/// Polling takes a while, and so does reconnecting.
const PATIENCE: Duration = Duration::from_secs(40);

/// A relay of another agent that requires authentication for reading and for writing.
fn guarded() -> Server {
    let variables = [("RELAY_AUTH", "all".to_owned())];
    Server::start_with(Host::Native, "hello-world", &variables).unwrap_or_else(|error| panic!("{error}"))
}

/// A probe agent that also serves these relays.
fn agent_on(servers: &Servers, relays: &[&str]) -> Server {
    servers.own_with(
        "probe",
        &[
            ("AGENT_RELAYS", relays.join(",")),
            ("ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
            ("RELAY_VISIT_SECONDS", "1".to_owned()),
        ],
    )
}

/// A client that has authenticated.
async fn identified(relay: &Server) -> Client {
    let mut client = Client::connect(&relay.url()).await;
    let challenge = client.challenge().await;
    let answer = client.authenticate(&identification(&fresh_author(), &relay.url(), &challenge)).await;
    assert!(answer.accepted, "{answer:?}");
    client
}

async fn a_request_on_a_relay_that_requires_authentication_is_answered_there(servers: &Servers) {
    let external = guarded();
    let agent = agent_on(servers, &[&external.url()]);
    let mut client = identified(&external).await;
    let request = request(&fresh_author(), 5900, Some(agent.agent()), "let me in", &[]);
    let said = ask(&mut client, &request).await;
    assert_eq!(
        (said.result().content.as_str(), said.statuses()),
        ("let me in", vec!["processing".to_owned()])
    );
}

async fn an_answer_goes_to_a_relay_that_requires_authentication(servers: &Servers) {
    let named = guarded();
    let agent = agent_on(servers, &[]);
    let request = event(&fresh_author(), 5900, &[&["i", "hello", "text"], &["relays", &named.url()]], "");
    let mut client = identified(&named).await;
    let mut said = listen(&mut client, &request).await;
    Client::connect(&agent.url()).await.publish_accepted(&request).await;
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "hello");
}

async fn inputs_are_read_from_relays_that_require_authentication(servers: &Servers) {
    let external = guarded();
    let agent = agent_on(servers, &[]);
    let (customer, other) = (fresh_author(), fresh_author());
    let first = request(&customer, 5999, Some(other.public_key()), "for the other agent", &[]);
    let (id, p) = (first.id.to_hex(), customer.public_key().to_hex());
    let result = event(&other, 6999, &[&["e", &id], &["p", &p]], "the output from afar");
    let mut there = identified(&external).await;
    there.publish_accepted(&first).await;
    there.publish_accepted(&result).await;
    let ask_with = async |kind: u16, input: &[&str]| -> Event {
        let request = event(&fresh_author(), kind, &[input, &["p", &agent.agent().to_hex()]], "");
        ask(&mut Client::connect(&agent.url()).await, &request).await.result().clone()
    };
    let chained = ask_with(5900, &["i", &id, "job", &external.url()]).await;
    assert_eq!(chained.content, "the output from afar");
    let named = ask_with(5991, &["i", &result.id.to_hex(), "event", &external.url()]).await;
    assert_eq!(named.content, "the output from afar");
}

async fn an_agent_hires_through_its_relay_that_requires_authentication(servers: &Servers) {
    let server = servers.own_with("probe", &[("RELAY_AUTH", "all".to_owned())]);
    let mut client = identified(&server).await;
    let request = request(&fresh_author(), 5914, Some(server.agent()), "by another", &[]);
    let said = ask(&mut client, &request).await;
    assert_eq!(said.result().content, "by another");
    let hired =
        client.query(&[serde_json::json!({"kinds": [5900], "authors": [server.agent().to_hex()]})]).await;
    assert_eq!(hired.len(), 1, "{hired:?}");
    assert!(jobs::stored(&mut client, &hired[0]).await.is_over());
}
