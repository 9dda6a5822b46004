//! The latency of jobs: from publishing a request to its result, one job after another.

use std::time::Instant;

use nostr_sdk::nostr::Keys;
use openagents_tests::jobs::{ask, request};
use openagents_tests::wire::Client;

use crate::figures::Figures;

/// Runs `count` jobs of this kind.
pub(crate) async fn measure(url: &str, kind: u16, count: usize) -> Figures {
    let mut client = Client::connect(url).await;
    let customer = Keys::generate();
    let mut latencies = Vec::with_capacity(count);
    let mut began = None;
    for number in 0..count {
        let request = request(&customer, kind, None, &number.to_string(), &[]);
        let start = Instant::now();
        began.get_or_insert(start);
        ask(&mut client, &request).await.result();
        latencies.push(start.elapsed());
        client.close(&openagents_tests::jobs::subscription(&request)).await;
    }
    let elapsed = began.map(|start| start.elapsed()).unwrap_or_default();
    Figures { what: "jobs, one after another".to_owned(), count, elapsed, latencies, memory: None }
}
