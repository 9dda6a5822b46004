//! A small test relay, and tests that span several files of this module.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use openagents_host::net::Reach;
use openagents_host::{Event, Keys, Kind, Timestamp, UnsignedEvent, VerifiedEvent};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::lists::{RELAY_LIST, read_relays};
use super::*;
use crate::engine::Delivery;
use crate::relay_address::{relay_address, relay_host, served};
use serde_json::json;

/// A test relay at its own address, which records what it receives. It rejects events with the content `unwanted`. It
/// can require authentication (NIP-42).
pub(crate) struct Relay {
    address: std::net::SocketAddr,
    told: Arc<Told>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Told {
    stored: Mutex<Vec<Value>>,
    published: Mutex<Vec<Value>>,
    connections: AtomicUsize,
    requests: Mutex<Vec<Value>>,
    /// Whether everything requires authentication.
    is_guarded: AtomicBool,
    /// The keys that have tried to authenticate.
    shown: Mutex<Vec<Value>>,
    /// Whether `since` and `until` are ignored.
    ignores_time: AtomicBool,
    /// Why an authentication is refused, if it is.
    refusal: Mutex<Option<&'static str>>,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Told::default());
        let serving = Some(tokio::spawn(serve(listener, Arc::clone(&told))));
        Self { address, told, serving }
    }

    /// A relay that requires authentication for everything, and refuses every key for this reason, if there is one.
    pub(crate) async fn start_guarded(refusal: Option<&'static str>) -> Self {
        let relay = Self::start().await;
        relay.told.is_guarded.store(true, Ordering::Relaxed);
        *relay.told.refusal.lock().unwrap() = refusal;
        relay
    }

    /// Makes it ignore the `since` and `until` of filters.
    pub(crate) fn ignore_time(&self) {
        self.told.ignores_time.store(true, Ordering::Relaxed);
    }

    /// The keys that have tried to authenticate.
    pub(crate) fn shown(&self) -> Vec<Value> {
        self.told.shown.lock().unwrap().clone()
    }

    /// Closes every connection, and serves again at the same address.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = Some(tokio::spawn(serve(listener, Arc::clone(&self.told))));
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn store(&self, event: &VerifiedEvent) {
        self.told.stored.lock().unwrap().push(serde_json::from_str(event.json()).unwrap());
    }

    pub(crate) fn published(&self) -> Vec<String> {
        let published = self.told.published.lock().unwrap();
        published.iter().map(|event| event["content"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.told.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> usize {
        self.told.requests.lock().unwrap().len()
    }

    /// The `since` of the first filter in each `REQ`.
    pub(crate) fn asked_since(&self) -> Vec<u64> {
        let requests = self.told.requests.lock().unwrap();
        requests.iter().filter_map(|request| request[2]["since"].as_u64()).collect()
    }
}

async fn serve(listener: TcpListener, told: Arc<Told>) {
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        told.connections.fetch_add(1, Ordering::Relaxed);
        clients.spawn(client(stream, Arc::clone(&told)));
    }
}

async fn client(stream: TcpStream, told: Arc<Told>) {
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    let mut is_known = false;
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let message = serde_json::from_str(&text).unwrap();
        let answers = if told.is_guarded.load(Ordering::Relaxed) && !is_known {
            let answers = guarded(&message, &told);
            is_known = answers.iter().any(|answer| answer[2] == true);
            answers
        } else {
            answers(&message, &told)
        };
        for answer in answers {
            let _ = socket.send(Message::text(answer.to_string())).await;
        }
    }
}

/// The answers to a client that has not authenticated.
fn guarded(message: &Value, told: &Told) -> Vec<Value> {
    match message[0].as_str() {
        Some("AUTH") => {
            told.shown.lock().unwrap().push(message[1]["pubkey"].clone());
            let refusal = *told.refusal.lock().unwrap();
            vec![json!(["OK", message[1]["id"], refusal.is_none(), refusal.unwrap_or_default()])]
        }
        Some("EVENT") => {
            let refused = json!(["OK", message[1]["id"], false, "auth-required: who are you?"]);
            vec![json!(["AUTH", "challenge"]), refused]
        }
        Some("REQ") => {
            vec![json!(["AUTH", "challenge"]), json!(["CLOSED", message[1], "auth-required: who are you?"])]
        }
        _ => vec![],
    }
}

fn answers(message: &Value, told: &Told) -> Vec<Value> {
    match message[0].as_str() {
        Some("EVENT") if message[1]["content"] == "unwanted" => {
            vec![json!(["OK", message[1]["id"], false, "blocked: unwanted"])]
        }
        Some("EVENT") => {
            told.published.lock().unwrap().push(message[1].clone());
            vec![json!(["OK", message[1]["id"], true, ""])]
        }
        Some("REQ") => {
            told.requests.lock().unwrap().push(message.clone());
            let number = |filter: &Value, name: &str, default: u64| filter[name].as_u64().unwrap_or(default);
            let mut found: Vec<Value> = Vec::new();
            for filter in message.as_array().unwrap().iter().skip(2) {
                let mut stored = told.stored.lock().unwrap().clone();
                stored.retain(|event| {
                    let at = event["created_at"].as_u64().unwrap();
                    let kinds = filter["kinds"].as_array();
                    let is_in_time =
                        at >= number(filter, "since", 0) && at <= number(filter, "until", u64::MAX);
                    kinds.is_none_or(|kinds| kinds.contains(&event["kind"]))
                        && (is_in_time || told.ignores_time.load(Ordering::Relaxed))
                });
                stored.sort_by_key(|event| std::cmp::Reverse(event["created_at"].as_u64()));
                stored.truncate(usize::try_from(number(filter, "limit", 500)).unwrap());
                found.extend(stored);
            }
            let events = found.into_iter().map(|event| json!(["EVENT", message[1], event]));
            events.chain([json!(["EOSE", message[1]])]).collect()
        }
        _ => vec![],
    }
}

/// The keys of the agent that connects.
pub(crate) fn agent() -> Keys {
    Keys::from_secret(&[9; 32]).unwrap()
}

pub(crate) fn note(number: u64) -> VerifiedEvent {
    let keys = Keys::from_secret(&[1; 32]).unwrap();
    UnsignedEvent::new(Kind(1), format!("note {number}")).sign(&keys, Timestamp::from_seconds(number))
}

pub(crate) fn request(kind: u16, created_at: u64, number: u64) -> VerifiedEvent {
    let customer = Keys::from_secret(&[3; 32]).unwrap();
    let request = UnsignedEvent::new(Kind(kind), "").tag(["i", &number.to_string(), "text"]);
    request.sign(&customer, Timestamp::from_seconds(created_at))
}

pub(crate) fn filter() -> RequestFilter {
    RequestFilter { kinds: vec![5_000, 5_050], named: None }
}

fn relay_list(tags: &[&[&str]]) -> VerifiedEvent {
    let list = UnsignedEvent::new(RELAY_LIST, "");
    let list = tags.iter().fold(list, |list, tag| list.tag(tag.iter().copied()));
    list.sign(&Keys::from_secret(&[3; 32]).unwrap(), Timestamp::from_seconds(1))
}

#[test]
fn knows_where_a_customer_reads() {
    let list = relay_list(&[
        &["r", "wss://both.example"],
        &["r", "wss://write.example", "write"],
        &["r", "wss://read.example", "read"],
        &["r"],
    ]);
    assert_eq!(read_relays(&list), ["wss://both.example", "wss://read.example"]);
}

#[tokio::test]
async fn asks_the_own_relay_where_a_customer_reads_and_then_the_one_of_the_request() {
    let relay = Relay::start().await;
    relay.store(&relay_list(&[&["r", "wss://there.example"]]));
    let customer = Keys::from_secret(&[3; 32]).unwrap().public_key();
    let here: Event = (*relay_list(&[&["r", "wss://here.example"]])).clone();
    let known =
        customer_relays(customer, &relay.url(), Reach::Anywhere, &agent(), async |_| vec![here]).await;
    assert_eq!((known, relay.connections()), (vec!["wss://here.example".to_owned()], 0));
    let known = customer_relays(customer, &relay.url(), Reach::Anywhere, &agent(), async |_| vec![]).await;
    assert_eq!(known, ["wss://there.example"]);
    // Forbidden addresses are not connected to.
    let known = customer_relays(customer, &relay.url(), Reach::Public, &agent(), async |_| vec![]).await;
    assert_eq!((known.len(), relay.connections()), (0, 1));
}

#[tokio::test]
async fn authenticates_as_the_agent_wherever_a_relay_requires_it() {
    let relay = Relay::start_guarded(None).await;
    relay.store(&relay_list(&[&["r", "wss://there.example"]]));
    relay.store(&request(5_050, 1_000, 1));
    let mut connection = RelayConnection::to(relay.url(), Reach::Anywhere, agent());
    assert_eq!(connection.publish(&note(1)).await, Delivery::Accepted);
    assert_eq!(connection.publish(&note(2)).await, Delivery::Accepted);
    let found =
        poll(&relay.url(), Reach::Anywhere, &agent(), &filter(), Timestamp::EPOCH, None).await.unwrap();
    assert_eq!(found.events.len(), 1);
    let customer = Keys::from_secret(&[3; 32]).unwrap().public_key();
    let known = customer_relays(customer, &relay.url(), Reach::Anywhere, &agent(), async |_| vec![]).await;
    assert_eq!(known, ["wss://there.example"]);
    assert_eq!(
        relay.shown(),
        [json!(agent().public_key()), json!(agent().public_key()), json!(agent().public_key())]
    );
}

#[test]
fn one_relay_has_one_address() {
    for same in ["wss://Relay.Example.com", "wss://relay.example.com/", " wss://relay.example.com:443 "] {
        assert_eq!(relay_address(same, Reach::Public).as_deref(), Some("wss://relay.example.com"), "{same}");
    }
    assert_eq!(
        relay_address("wss://relay.example.com/nostr/", Reach::Public).as_deref(),
        Some("wss://relay.example.com/nostr/")
    );
    for none in [
        "",
        "relay.example.com",
        "https://relay.example.com",
        "ws://127.0.0.1:7777",
        "wss://10.0.0.1",
        "wss://localhost",
    ] {
        assert_eq!(relay_address(none, Reach::Public), None, "{none}");
    }
    assert_eq!(
        relay_address("ws://127.0.0.1:7777/", Reach::Anywhere).as_deref(),
        Some("ws://127.0.0.1:7777")
    );
}

#[test]
fn the_addresses_of_one_host_have_one_host() {
    for url in ["wss://a.example", "wss://a.example:4443", "wss://a.example/b:80/c?d", "ws://a.example?x=/y"]
    {
        assert_eq!(relay_host(url), "a.example", "{url}");
    }
    assert_eq!(relay_host("wss://[2001:db8::1]:4443/x"), "[2001:db8::1]");
    assert_eq!(relay_host("wss://[2001:db8::1]"), "[2001:db8::1]");
    assert_eq!(relay_host("read-by:00 wss://a.example/x"), "a.example");
}

#[test]
fn does_not_serve_itself_as_an_outside_relay() {
    let relays =
        ["wss://a.example", "wss://own.example/", "wss://a.example/", "wss://b.example"].map(str::to_owned);
    assert_eq!(
        served(&relays, Some("wss://own.example"), Reach::Public),
        ["wss://a.example", "wss://b.example"]
    );
}

#[test]
fn asks_for_requests_and_their_cancellations() {
    let since = Timestamp::from_seconds(7);
    let filters = filter().filters(since).map(|filter| json!(filter));
    assert_eq!(filters[0], json!({"kinds": [5000, 5050], "since": 7}));
    assert_eq!(filters[1], json!({"kinds": [5], "#k": ["5000", "5050"], "since": 7}));
    let me = agent().public_key();
    let filters = RequestFilter { named: Some(me), ..filter() }.filters(since).map(|filter| json!(filter));
    assert_eq!(filters[0], json!({"kinds": [5000, 5050], "#p": [me], "since": 7}));
}
