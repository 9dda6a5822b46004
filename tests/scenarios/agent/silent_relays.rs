//! External relays that accept connections and then say nothing: look-ups and answers there hold up no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nostr_sdk::nostr::{Event, Keys};
use openagents_tests::events::{event, fresh_author};
use openagents_tests::jobs::{follow, listen, request};
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::servers::{Servers, scenarios};

scenarios![
    an_input_on_the_own_relay_does_not_wait_for_silent_relays,
    an_answer_does_not_wait_for_silent_relays,
];

const PATIENCE: Duration = Duration::from_secs(40);

/// A relay that says nothing, at every address of this machine.
struct SilentRelay {
    port: u16,
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    open: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl SilentRelay {
    async fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(Connections::default());
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                counted.all.fetch_add(1, Ordering::Relaxed);
                counted.most.fetch_max(counted.open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut read = [0; 1_024];
                    while stream.read(&mut read).await.is_ok_and(|length| length > 0) {}
                    counted.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, connections }
    }

    /// An address of this relay; each number is another host.
    fn url(&self, host: usize) -> String {
        format!("ws://127.1.{}.{}:{}", host / 250, 1 + host % 250, self.port)
    }

    fn count(&self) -> usize {
        self.connections.all.load(Ordering::Relaxed)
    }
}

fn agent(servers: &Servers) -> Server {
    servers.own_with("probe", &[("ALLOW_PRIVATE_ADDRESSES", "true".to_owned())])
}

/// A request with this input, whose answer goes to these relays.
fn with_input(customer: &Keys, agent: &Server, input: &[&str], relays: &[String]) -> Event {
    let agent = agent.agent().to_hex();
    let relays: Vec<&str> = std::iter::once("relays").chain(relays.iter().map(String::as_str)).collect();
    let addressee = ["p", agent.as_str()];
    let mut tags: Vec<&[&str]> = vec![input, &addressee];
    if relays.len() > 1 {
        tags.push(&relays);
    }
    event(customer, 5900, &tags, "")
}

async fn an_input_on_the_own_relay_does_not_wait_for_silent_relays(servers: &Servers) {
    let (silent, agent) = (SilentRelay::start().await, agent(servers));
    let mut client = Client::connect(&agent.url()).await;
    let (customer, other) = (fresh_author(), fresh_author());
    let first = request(&customer, 5999, Some(other.public_key()), "for the other agent", &[]);
    let id = first.id.to_hex();
    client.publish_accepted(&first).await;
    client.publish_accepted(&event(&other, 6999, &[&["e", &id]], "from the own relay")).await;
    // Sixty requests of thirty customers name eight silent relays each.
    let customers: Vec<Keys> = (0..30).map(|_| fresh_author()).collect();
    for number in 0..60 {
        let unknown = event(&customers[0], 5999, &[], &number.to_string()).id.to_hex();
        let relays: Vec<String> = (0..8).map(|relay| silent.url(number * 8 + relay)).collect();
        let tags: Vec<[&str; 4]> = relays.iter().map(|relay| ["i", &unknown, "job", relay]).collect();
        let tags: Vec<&[&str]> = tags.iter().map(<[&str; 4]>::as_slice).collect();
        client.publish_accepted(&event(&customers[number % 30], 5900, &tags, "")).await;
    }
    while silent.count() < 8 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let chained = with_input(&customer, &agent, &["i", &id, "job"], &[]);
    let mut said = listen(&mut client, &chained).await;
    client.publish_accepted(&chained).await;
    follow(&mut client, &chained, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "from the own relay");
    let meanwhile = silent.count();
    assert!(meanwhile < 60 * 8, "{meanwhile} silent relays were waited for first");
    let most = silent.connections.most.load(Ordering::Relaxed);
    // Eight look-ups of four connections each; a server notices the end of one later than its client.
    assert!(most <= 2 * 8 * 4, "{most} connections at once");
}

async fn an_answer_does_not_wait_for_silent_relays(servers: &Servers) {
    let (silent, agent) = (SilentRelay::start().await, agent(servers));
    let external = Server::start(Host::Native, "hello-world").unwrap_or_else(|error| panic!("{error}"));
    let mut client = Client::connect(&agent.url()).await;
    // One customer wants two hundred answers on silent relays.
    let customer = fresh_author();
    for number in 0..200 {
        let input = ["i", &number.to_string(), "text"];
        client.publish_accepted(&with_input(&customer, &agent, &input, &[silent.url(number)])).await;
    }
    while silent.count() < 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let wanted = with_input(&fresh_author(), &agent, &["i", "hello", "text"], &[external.url()]);
    let mut there = Client::connect(&external.url()).await;
    let mut said = listen(&mut there, &wanted).await;
    client.publish_accepted(&wanted).await;
    follow(&mut there, &wanted, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "hello");
    let most = silent.connections.most.load(Ordering::Relaxed);
    assert!(most <= 12, "{most} connections at once for one customer");
}
