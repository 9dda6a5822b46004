//! External relays that require authentication (NIP-42): an agent authenticates with its key, as a customer, as a
//! reader and with its answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use nostr_sdk::nostr::Event;
use openagents_tests::events::{event, fresh_author, identification};
use openagents_tests::jobs::{self, ask, follow, listen, request};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, connect_async};

use crate::servers::{Servers, scenarios};

scenarios![
    a_request_on_a_relay_that_requires_authentication_is_answered_there,
    an_answer_goes_to_a_relay_that_requires_authentication,
    inputs_are_read_from_relays_that_require_authentication,
    an_agent_hires_through_its_relay_that_requires_authentication,
    an_answer_is_sent_again_to_a_relay_that_refuses_it_for_now,
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
    let hired = client.query(&[json!({"kinds": [5900], "authors": [server.agent().to_hex()]})]).await;
    assert_eq!(hired.len(), 1, "{hired:?}");
    assert!(jobs::stored(&mut client, &hired[0]).await.is_over());
}

async fn an_answer_is_sent_again_to_a_relay_that_refuses_it_for_now(servers: &Servers) {
    let external = guarded();
    let refusals = Arc::new(AtomicUsize::new(2));
    let agent = agent_on(servers, &[&busy(external.url(), Arc::clone(&refusals)).await]);
    let mut client = identified(&external).await;
    let request = request(&fresh_author(), 5900, Some(agent.agent()), "in the end", &[]);
    let mut said = listen(&mut client, &request).await;
    client.publish_accepted(&request).await;
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(
        (said.result().content.as_str(), said.statuses()),
        ("in the end", vec!["processing".to_owned()])
    );
    assert_eq!(refusals.load(Ordering::Relaxed), 0);
}

/// A proxy in front of a relay, with its URL. It refuses as many events of clients that have authenticated as
/// `refusals` says.
pub(crate) async fn busy(relay: String, refusals: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(forward(stream, relay.clone(), Arc::clone(&refusals)));
        }
    });
    url
}

async fn forward(stream: TcpStream, relay: String, refusals: Arc<AtomicUsize>) {
    let Ok(mut client) = accept_async(stream).await else { return };
    let Ok((mut relay, _)) = connect_async(relay).await else { return };
    let mut has_authenticated = false;
    loop {
        let is_sent = tokio::select! {
            Some(Ok(message)) = client.next() => {
                let sent: Value = message.to_text().ok().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                has_authenticated |= sent[0] == "AUTH";
                let count_down = |left: usize| left.checked_sub(1);
                let is_refused = has_authenticated
                    && sent[0] == "EVENT"
                    && refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count_down).is_ok();
                if is_refused {
                    let refusal = json!(["OK", sent[1]["id"], false, "rate-limited: slow down"]);
                    client.send(Message::text(refusal.to_string())).await
                } else {
                    relay.send(message).await
                }
            }
            Some(Ok(message)) = relay.next() => client.send(message).await,
            else => return,
        };
        if is_sent.is_err() {
            return;
        }
    }
}
