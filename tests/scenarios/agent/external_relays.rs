//! External relays: requests arrive from there, and answers go where the customer wants them.

use std::time::Duration;

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, fresh_author};
use openagents_tests::jobs::{self, Conversation, ask, follow, listen, request, status_text};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;
use tokio::net::TcpListener;

use crate::servers::{Servers, scenarios};

scenarios![
    a_request_on_an_outside_relay_is_answered_there_once,
    a_request_that_was_there_before_the_agent_is_answered,
    a_request_on_two_relays_is_one_job_that_is_answered_on_both,
    an_agent_comes_back_to_a_relay_that_was_gone,
    a_cancellation_on_an_outside_relay_is_heeded,
    an_answer_goes_to_the_relays_that_its_request_names,
    an_answer_goes_to_the_relays_that_its_customer_reads_from,
    a_private_address_is_not_reached_unless_that_is_allowed,
];

/// Polling takes a while, and so does reconnecting.
const PATIENCE: Duration = Duration::from_secs(40);

/// A relay of another agent.
fn relay() -> Server {
    Server::start(Host::Native, "hello-world").unwrap_or_else(|error| panic!("{error}"))
}

/// A probe agent that also serves these relays.
fn agent_on(servers: &Servers, relays: &[&Server]) -> Server {
    let relays: Vec<String> = relays.iter().map(|relay| relay.url()).collect();
    servers.own_with(
        "probe",
        &[
            ("AGENT_RELAYS", relays.join(",")),
            ("ALLOW_PRIVATE_ADDRESSES", "true".to_owned()),
            ("RELAY_VISIT_SECONDS", "1".to_owned()),
        ],
    )
}

/// The answers to a request on a relay, once the job is over and nothing more arrives.
async fn answers_on(relay: &Server, request: &Event) -> Conversation {
    let mut client = Client::connect(&relay.url()).await;
    let mut said = listen(&mut client, request).await;
    follow(&mut client, request, &mut said, PATIENCE).await;
    client.expect_silence().await;
    jobs::stored(&mut client, request).await
}

async fn publish(relay: &Server, event: &Event) {
    Client::connect(&relay.url()).await.publish_accepted(event).await;
}

/// A request with one text input and additional tags.
fn tagged(customer: &Keys, kind: u16, tags: &[&[&str]]) -> Event {
    let mut all: Vec<&[&str]> = vec![&["i", "hello", "text"]];
    all.extend(tags);
    event(customer, kind, &all, "")
}

async fn a_request_on_an_outside_relay_is_answered_there_once(servers: &Servers) {
    let external = relay();
    let agent = agent_on(servers, &[&external]);
    let mut client = Client::connect(&external.url()).await;
    let request = request(&fresh_author(), 5900, Some(agent.agent()), "hello from outside", &[]);
    let said = ask(&mut client, &request).await;
    assert_eq!(said.result().content, "hello from outside");
    assert_eq!(said.statuses(), ["processing"]);
    // The agent sees it again and again, but answers it once.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let there = answers_on(&external, &request).await;
    assert_eq!((there.result(), there.feedback.len()), (said.result(), 1));
    assert_eq!(answers_on(&agent, &request).await.result(), said.result());
}

async fn a_request_that_was_there_before_the_agent_is_answered(servers: &Servers) {
    let external = relay();
    let request = request(&fresh_author(), 5900, None, "early", &[]);
    publish(&external, &request).await;
    let _agent = agent_on(servers, &[&external]);
    assert_eq!(answers_on(&external, &request).await.result().content, "early");
}

async fn a_request_on_two_relays_is_one_job_that_is_answered_on_both(servers: &Servers) {
    let relays = [relay(), relay()];
    let agent = agent_on(servers, &[&relays[0], &relays[1]]);
    let request = request(&fresh_author(), 5911, Some(agent.agent()), "", &[]);
    publish(&relays[0], &request).await;
    publish(&relays[1], &request).await;
    let first = answers_on(&relays[0], &request).await.result().clone();
    let second = answers_on(&relays[1], &request).await.result().clone();
    assert_eq!((first.content.as_str(), &second), ("1", &first));
    // Even if it also arrives through the agent's own relay.
    publish(&agent, &request).await;
    let mut client = Client::connect(&agent.url()).await;
    let next = self::request(&fresh_author(), 5911, Some(agent.agent()), "", &[]);
    assert_eq!(ask(&mut client, &next).await.result().content, "2");
    assert_eq!(answers_on(&agent, &request).await.result(), &first);
}

async fn an_agent_comes_back_to_a_relay_that_was_gone(servers: &Servers) {
    let external = relay();
    let agent = agent_on(servers, &[&external]);
    let before = request(&fresh_author(), 5900, Some(agent.agent()), "before", &[]);
    publish(&external, &before).await;
    assert_eq!(answers_on(&external, &before).await.result().content, "before");
    external.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    let after = request(&fresh_author(), 5900, Some(agent.agent()), "after", &[]);
    publish(&external, &after).await;
    assert_eq!(answers_on(&external, &after).await.result().content, "after");
    assert_eq!(answers_on(&external, &before).await.result().content, "before");
}

async fn a_cancellation_on_an_outside_relay_is_heeded(servers: &Servers) {
    let external = relay();
    let agent = agent_on(servers, &[&external]);
    let customer = fresh_author();
    let parameters = [("milliseconds", "60000")];
    let request = request(&customer, 5904, Some(agent.agent()), "too slow", &parameters);
    let mut client = Client::connect(&external.url()).await;
    let mut said = listen(&mut client, &request).await;
    client.publish_accepted(&request).await;
    let processing = client.next_event(&jobs::subscription(&request)).await;
    assert_eq!(jobs::status(&processing), "processing");
    let cancellation = event(&customer, 5, &[&["e", &request.id.to_hex()], &["k", "5904"]], "");
    client.publish_accepted(&cancellation).await;
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(status_text(said.error()), "cancelled by the customer");
}

async fn an_answer_goes_to_the_relays_that_its_request_names(servers: &Servers) {
    let named = relay();
    let served = relay();
    let agent = agent_on(servers, &[&served]);
    let url = named.url();
    // Through the agent's own relay, then through one that it serves.
    for asked in [&agent, &served] {
        let request = tagged(&fresh_author(), 5900, &[&["relays", &url]]);
        publish(asked, &request).await;
        assert_eq!(answers_on(&named, &request).await.result().content, "hello");
        assert_eq!(answers_on(&agent, &request).await.result().content, "hello");
        let mut client = Client::connect(&served.url()).await;
        assert!(jobs::stored(&mut client, &request).await.results.is_empty(), "not asked for there");
    }
}

async fn an_answer_goes_to_the_relays_that_its_customer_reads_from(servers: &Servers) {
    let (served, read, written) = (relay(), relay(), relay());
    let _agent = agent_on(servers, &[&served]);
    let customer = fresh_author();
    let list: [&[&str]; 2] = [&["r", &read.url(), "read"], &["r", &written.url(), "write"]];
    publish(&served, &event(&customer, 10_002, &list, "")).await;
    let request = request(&customer, 5900, None, "where I read", &[]);
    publish(&served, &request).await;
    assert_eq!(answers_on(&read, &request).await.result().content, "where I read");
    assert_eq!(answers_on(&served, &request).await.result().content, "where I read");
    let mut client = Client::connect(&written.url()).await;
    assert!(jobs::stored(&mut client, &request).await.results.is_empty(), "read by others there");
}

async fn a_private_address_is_not_reached_unless_that_is_allowed(servers: &Servers) {
    let private = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}", private.local_addr().expect("an address"));
    let ask_with_it = async |agent: &Server| {
        let request = tagged(&fresh_author(), 5900, &[&["relays", &url]]);
        publish(agent, &request).await;
        assert_eq!(answers_on(agent, &request).await.result().content, "hello");
        tokio::time::timeout(Duration::from_secs(2), private.accept()).await.is_ok()
    };
    assert!(
        !ask_with_it(&servers.own("probe")).await,
        "a customer made the agent connect to a private address"
    );
    assert!(ask_with_it(&agent_on(servers, &[])).await, "allowed, and not reached");
}
