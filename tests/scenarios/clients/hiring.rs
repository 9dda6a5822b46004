//! Customers that are programs: agents that hire agents, and users of the SDK's client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Event, Keys};
use openagents_sdk::client::{ClientError, JobClient, JobUpdate, Order};
use openagents_sdk::nip90::RequestBuilder;
use openagents_sdk::nostr::{Encryption, Keys as CustomerKeys, Kind, PublicKey};
use openagents_tests::events::fresh_author;
use openagents_tests::jobs::{Conversation, ask, request, status_text};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;
use serde_json::json;

use crate::agent::guarded_relays::busy;
use crate::servers::{Servers, scenarios};

scenarios! {
    on [Host::Native] => {
        a_client_does_not_ask_a_relay_for_ever_that_refuses_its_request,
    }
    on Host::ALL => {
        an_agent_hires_an_agent,
        an_agent_hires_in_private,
        a_hired_agents_error_reaches_the_handler,
        an_agent_does_not_wait_for_itself,
        a_client_follows_a_job_over_a_kill,
        a_client_asks_in_private,
        a_client_chains_jobs,
        a_client_cancels_a_job,
        a_client_does_not_wait_forever,
        a_client_asks_a_relay_again_that_refuses_its_request_for_now,
    }
}

/// Long enough for a slow machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Lets the probe hire its own agent, on a server of its own: an exclusive job would interfere.
async fn hire(server: &Server, input: &str, params: &[(&str, &str)]) -> Conversation {
    let mut client = Client::connect(&server.url()).await;
    let keys: Keys = fresh_author();
    ask(&mut client, &request(&keys, 5914, Some(server.agent()), input, params)).await
}

/// The requests that the agent itself published.
async fn hired(server: &Server, kind: u16) -> Vec<Event> {
    let filter = json!({"kinds": [kind], "authors": [server.agent().to_hex()]});
    Client::connect(&server.url()).await.query(&[filter]).await
}

async fn an_agent_hires_an_agent(servers: &Servers) {
    let server = servers.own("probe");
    let said = hire(&server, "by another", &[]).await;
    assert_eq!(said.result().content, "by another");
    let hired = hired(&server, 5900).await;
    assert_eq!(hired.len(), 1, "one request, signed by the agent: {hired:?}");
    assert!(hired[0].tags.iter().any(|tag| tag.as_slice() == ["i", "by another", "text"]));
}

async fn an_agent_hires_in_private(servers: &Servers) {
    let server = servers.own("probe");
    let said = hire(&server, "between us", &[("sealed", "true")]).await;
    assert_eq!(said.result().content, "between us");
    for kind in [5900, 6900] {
        let events = hired(&server, kind).await;
        assert_eq!(events.len(), 1, "kind {kind}: {events:?}");
        assert!(!events[0].content.is_empty() && !events[0].content.contains("between us"));
        assert!(!format!("{:?}", events[0].tags).contains("between us"), "{events:?}");
    }
}

async fn a_hired_agents_error_reaches_the_handler(servers: &Servers) {
    let server = servers.own("probe");
    let said = hire(&server, "never", &[("kind", "5909")]).await;
    assert_eq!(status_text(said.error()), "hired: attempt 2 was in vain");
}

async fn an_agent_does_not_wait_for_itself(servers: &Servers) {
    let server = servers.own("probe");
    let started = Instant::now();
    let said = hire(&server, "", &[("kind", "5911")]).await;
    assert_eq!(status_text(said.error()), "the agent failed to do this job");
    assert!(started.elapsed() < Duration::from_secs(15), "waited for {:?}", started.elapsed());
    assert!(hired(&server, 5911).await.is_empty());
}

async fn customer(server: &Server) -> JobClient {
    let keys = CustomerKeys::generate().expect("random bytes");
    JobClient::connect(&server.url(), keys).await.expect("a connection")
}

fn agent(server: &Server) -> PublicKey {
    PublicKey::from_hex(&server.agent().to_hex()).expect("a key")
}

fn order(server: &Server, kind: u16, input: &str) -> RequestBuilder {
    RequestBuilder::new(Kind(kind)).provider(&agent(server)).text(input)
}

async fn a_client_follows_a_job_over_a_kill(servers: &Servers) {
    let server = servers.own("probe");
    let client = customer(&server).await;
    let slow = order(&server, 5904, "slow").param("milliseconds", "1000");
    let mut job = client.submit(slow).await.expect("accepted");
    assert!(matches!(job.next().await, Ok(Some(JobUpdate::Processing { .. }))));
    server.kill_and_restart().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(job.result(PATIENCE).await.expect("a result").content, "slow");
    assert_eq!(job.next().await, Ok(None));
    // The new connection works like the first.
    let mut job = client.submit(order(&server, 5900, "again")).await.expect("accepted");
    assert_eq!(job.result(PATIENCE).await.expect("a result").content, "again");
}

async fn a_client_asks_in_private(servers: &Servers) {
    let server = servers.probe();
    let client = customer(&server).await;
    for encryption in [Encryption::Nip44, Encryption::Nip04] {
        let order = Order::new(order(&server, 5900, "between us")).sealed(encryption);
        let mut job = client.submit(order).await.expect("accepted");
        assert!(!job.request().event.json().contains("between us"));
        assert_eq!(job.result(PATIENCE).await.expect("a result").content, "between us");
    }
    let failing = Order::new(order(&server, 5909, "between us")).sealed(Encryption::Nip44);
    let failed = client.submit(failing).await.expect("accepted").result(PATIENCE).await;
    assert!(
        matches!(&failed, Err(ClientError::Failed { message, .. }) if message == "attempt 2 was in vain"),
        "{failed:?}"
    );
}

async fn a_client_chains_jobs(servers: &Servers) {
    let server = servers.probe();
    let client = customer(&server).await;
    let first = order(&server, 5904, "in a chain").param("milliseconds", "500");
    let first = client.submit(first).await.expect("accepted");
    let second = RequestBuilder::new(Kind(5900)).provider(&agent(&server));
    let mut second = client.chain(&first, second).await.expect("accepted");
    let inputs = &second.request().inputs;
    assert_eq!((inputs.len(), inputs[0].data.clone()), (1, first.id().to_hex()));
    assert!(matches!(second.next().await, Ok(Some(JobUpdate::Processing { .. }))));
}

async fn a_client_cancels_a_job(servers: &Servers) {
    let server = servers.own("probe");
    let client = customer(&server).await;
    let slow = order(&server, 5904, "slow").param("milliseconds", "30000");
    let mut job = client.submit(slow).await.expect("accepted");
    assert!(matches!(job.next().await, Ok(Some(JobUpdate::Processing { .. }))));
    job.cancel("changed my mind").await.expect("accepted");
    let ended = job.result(PATIENCE).await;
    assert!(
        matches!(&ended, Err(ClientError::Failed { message, .. }) if message.contains("cancelled")),
        "{ended:?}"
    );
}

async fn a_client_does_not_wait_forever(servers: &Servers) {
    let server = servers.probe();
    let client = customer(&server).await;
    let nobodys = RequestBuilder::new(Kind(5999)).text("anybody?");
    let mut job = client.submit(nobodys).await.expect("accepted");
    let after = Duration::from_millis(300);
    assert_eq!(job.result(after).await, Err(ClientError::Timeout { after, last_error: None }));
}

async fn a_client_asks_a_relay_again_that_refuses_its_request_for_now(servers: &Servers) {
    let server = servers.own_with("hello-world", &[("RELAY_AUTH", "all".to_owned())]);
    let refusals = Arc::new(AtomicUsize::new(2));
    let client = busy_customer(&server, &refusals).await;
    let mut job = client.submit(order(&server, 5050, "Ada")).await.expect("accepted in the end");
    assert_eq!(refusals.load(Ordering::Relaxed), 0);
    assert_eq!(job.result(PATIENCE).await.expect("a result").content, "Hello, Ada! You are number 1.");
}

async fn a_client_does_not_ask_a_relay_for_ever_that_refuses_its_request(servers: &Servers) {
    let server = servers.own_with("hello-world", &[("RELAY_AUTH", "all".to_owned())]);
    let client = busy_customer(&server, &Arc::new(AtomicUsize::new(usize::MAX))).await;
    let started = Instant::now();
    let refused = client.submit(order(&server, 5050, "Ada")).await.err();
    assert_eq!(refused, Some(ClientError::Refused("rate-limited: slow down".to_owned())));
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

/// A customer at a relay that refuses as many requests as `refusals` says.
async fn busy_customer(server: &Server, refusals: &Arc<AtomicUsize>) -> JobClient {
    let url = busy(server.url(), Arc::clone(refusals)).await;
    let keys = CustomerKeys::generate().expect("random bytes");
    JobClient::connect(&url, keys).await.expect("a connection")
}
