//! `bench fairness`: how long another client waits for its events and its feed while one address makes the relay work.
//!
//! The server must take the addresses of its clients from their headers, as in workerd, or natively with
//! `RELAY_TRUSTED_PROXIES=127.0.0.1`.

use std::time::{Duration, Instant};

use nostr_sdk::nostr::Keys;
use openagents_tests::events::{as_json, event};
use openagents_tests::wire::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::figures::Figures;

/// The connections of the address that makes the relay work, and how many requests each has unanswered.
const CONNECTIONS: usize = 8;
const UNANSWERED: usize = 12;

/// How many events are sent before their answers are read.
const PUBLISHED_AT_ONCE: usize = 100;

/// How many stored events the feed has.
const FEED: usize = 500;

/// The pause between two measurements.
const PAUSE: Duration = Duration::from_millis(50);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stores events, then measures for some seconds with each load, one after another.
pub(crate) async fn measure(url: &str, events: usize, seconds: u64) -> Result<Vec<Figures>, String> {
    let topic = Keys::generate().public_key().to_hex();
    fill(url, &topic, events).await?;
    let filter = json!({ "#t": [topic] });
    let loads = [
        ("quiet", None),
        ("COUNT", Some(json!(["COUNT", "load", filter]))),
        ("NEG-OPEN", Some(json!(["NEG-OPEN", "load", filter, "6100000200"]))),
    ];
    let mut figures = Vec::new();
    for (name, request) in loads {
        let mut stops = Vec::new();
        if let Some(request) = request {
            for _ in 0..CONNECTIONS {
                stops.push(load(url.to_owned(), request.clone()));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let [published, read] = probe(url, &topic, seconds).await?;
        // What was asked for is answered before the next measurement.
        drop(stops);
        tokio::time::sleep(Duration::from_secs(2)).await;
        for (what, latencies) in [("EVENT", published), (&*format!("feed of {FEED}"), read)] {
            let (count, elapsed) = (latencies.len(), Duration::from_secs(seconds));
            figures.push(Figures {
                what: format!("{what}, {name}"),
                count,
                elapsed,
                latencies,
                memory: None,
            });
        }
    }
    Ok(figures)
}

async fn connect(url: &str, address: &str) -> Result<Client, String> {
    Client::try_connect_from(url, address).await.map_err(|error| format!("{url}: {error}"))
}

/// Publishes events of a topic from this machine, which has no limits.
async fn fill(url: &str, topic: &str, events: usize) -> Result<(), String> {
    let mut client = Client::try_connect(url).await.map_err(|error| format!("{url}: {error}"))?;
    let author = Keys::generate();
    let numbers: Vec<usize> = (0..events).collect();
    for numbers in numbers.chunks(PUBLISHED_AT_ONCE) {
        for number in numbers {
            let event = event(&author, 1, &[&["t", topic]], &number.to_string());
            client.send(&json!(["EVENT", as_json(&event)])).await;
        }
        for _ in numbers {
            let answer = text(&mut client).await?;
            if !answer.contains(",true,") {
                return Err(format!("an event was refused: {answer}"));
            }
        }
    }
    Ok(())
}

async fn text(client: &mut Client) -> Result<String, String> {
    client.receive_text_within(PATIENCE).await.ok_or_else(|| "the relay did not answer".to_owned())
}

/// Has this many requests unanswered on a connection until what is returned is dropped.
fn load(url: String, request: Value) -> oneshot::Sender<()> {
    let (stop, mut stopped) = oneshot::channel::<()>();
    let runs = async move {
        let mut client = connect(&url, "192.0.2.1").await.expect("a connection for the load");
        for _ in 0..UNANSWERED {
            client.send(&request).await;
        }
        while matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
            let Ok(answer) = text(&mut client).await else { return };
            if answer.contains("rate-limited") {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            client.send(&request).await;
        }
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(runs);
    });
    stop
}

/// How long events and feeds of another address took.
async fn probe(url: &str, topic: &str, seconds: u64) -> Result<[Vec<Duration>; 2], String> {
    let mut client = connect(url, "192.0.2.2").await?;
    let author = Keys::generate();
    let (mut published, mut read) = (Vec::new(), Vec::new());
    let (began, time) = (Instant::now(), Duration::from_secs(seconds));
    while began.elapsed() < time {
        let event = event(&author, 1, &[], &published.len().to_string());
        let start = Instant::now();
        client.send(&json!(["EVENT", as_json(&event)])).await;
        let answer = text(&mut client).await?;
        published.push(start.elapsed());
        if !answer.contains(",true,") {
            return Err(format!("an event was refused: {answer}"));
        }
        let start = Instant::now();
        client.send(&json!(["REQ", "feed", { "#t": [topic], "limit": FEED }])).await;
        loop {
            let answer = text(&mut client).await?;
            if answer.starts_with(r#"["CLOSED""#) {
                return Err(format!("the feed was refused: {answer}"));
            }
            if answer.starts_with(r#"["EOSE""#) {
                break;
            }
        }
        read.push(start.elapsed());
        client.send(&json!(["CLOSE", "feed"])).await;
        tokio::time::sleep(PAUSE).await;
    }
    Ok([published, read])
}
