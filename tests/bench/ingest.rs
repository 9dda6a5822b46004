//! How fast a relay takes events.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nostr_sdk::nostr::Keys;
use openagents_tests::events::{event_at, now};
use openagents_tests::wire::{Client, Frame};
use serde_json::json;
use tokio::sync::Barrier;

use crate::figures::Figures;

/// An event as it goes over the wire, with the id that `OK` will carry.
struct Signed {
    id: String,
    message: String,
}

/// Events like those of a relay for agents: three in ten are job requests of kinds that nobody here serves.
/// Signing is not part of what is measured.
fn signed(count: usize) -> Vec<Signed> {
    let authors: Vec<Keys> = (0..20).map(|_| Keys::generate()).collect();
    let reference = "5c83da77af1dec6d7289834998ad7aafbd9e2191396d75ec3cc27f5a77226f36";
    let start = now() - 3600;
    let sign = |number: usize| {
        let author = &authors[number % authors.len()];
        let content = format!("{number}: {}", "lorem ipsum ".repeat(9));
        let second = start + (number % 3600) as u64;
        let event = match number % 10 {
            0..3 => {
                let kind = [5000, 5001, 5100][number % 3];
                let tags: [&[&str]; 3] =
                    [&["i", &content, "text"], &["param", "language", "en"], &["output", "text/plain"]];
                event_at(author, second, kind, &tags, "")
            }
            // None of them replaces another: connections race, and the older of two would be refused.
            3 => {
                let identifier = number.to_string();
                event_at(author, second, 30_023, &[&["d", &identifier], &["t", "bench"]], &content)
            }
            _ => {
                let tags: [&[&str]; 3] = [&["e", reference], &["p", reference], &["t", "bench"]];
                event_at(author, second, 1, &tags, &content)
            }
        };
        Signed { id: event.id.to_hex(), message: json!(["EVENT", event]).to_string() }
    };
    (0..count).map(sign).collect()
}

/// Publishes `count` events over some connections with some unanswered events on each.
pub(crate) async fn measure(url: &str, count: usize, connections: usize, in_flight: usize) -> Figures {
    let events = signed(count);
    let start = Barrier::new(connections);
    let shares = events.chunks(count.div_ceil(connections));
    let publishers = shares.map(|share| publish(url, share, in_flight, &start));
    let outcomes = join_all(publishers).await;
    let began = outcomes.iter().map(|outcome| outcome.0).min().expect("a connection");
    let ended = outcomes.iter().map(|outcome| outcome.1).max().expect("a connection");
    let latencies = outcomes.into_iter().flat_map(|outcome| outcome.2).collect();
    let what = format!("events, {connections} × {in_flight} in flight");
    Figures { what, count, elapsed: ended - began, latencies, memory: None }
}

async fn publish(
    url: &str,
    events: &[Signed],
    in_flight: usize,
    start: &Barrier,
) -> (Instant, Instant, Vec<Duration>) {
    let mut client = Client::connect(url).await;
    start.wait().await;
    let began = Instant::now();
    let mut sent: HashMap<&str, Instant> = HashMap::new();
    let mut latencies = Vec::with_capacity(events.len());
    let mut next = events.iter();
    loop {
        while sent.len() < in_flight
            && let Some(event) = next.next()
        {
            sent.insert(&event.id, Instant::now());
            client.send_text(&event.message).await;
        }
        if sent.is_empty() {
            return (began, Instant::now(), latencies);
        }
        match client.receive().await {
            Frame::Ok(id, accepted, message) => {
                assert!(accepted || message.starts_with("duplicate: "), "refused: {message}");
                let at = sent.remove(id.as_str()).expect("an answer to what was sent");
                latencies.push(at.elapsed());
            }
            other => panic!("expected OK, got {other:?}"),
        }
    }
}
