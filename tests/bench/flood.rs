//! `bench jobs`: the throughput of an agent with many jobs at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nostr_sdk::nostr::{Keys, PublicKey};
use openagents_tests::events::now;
use openagents_tests::jobs::request;
use openagents_tests::wire::Client;
use serde_json::{Value, json};

use crate::figures::Figures;
use crate::memory::Watched;

/// The most requests in flight to the relay.
const IN_FLIGHT: usize = 128;

/// How many customers the requests are from: an agent takes only a quarter of its queue from one.
const CUSTOMERS: usize = 8;

/// How long nothing may happen before the measurement fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Publishes `count` requests of this kind and waits for all results. `pids` are the server's processes, for its
/// memory.
pub(crate) async fn measure(
    url: &str,
    agent: Option<PublicKey>,
    kind: u16,
    count: usize,
    pids: Vec<u32>,
) -> Result<Figures, String> {
    let customers: Vec<Keys> = (0..CUSTOMERS).map(|_| Keys::generate()).collect();
    // Signing is not measured.
    let requests: Vec<(String, String)> = (0..count)
        .zip(customers.iter().cycle())
        .map(|(number, customer)| {
            let input = format!("{number} {}", "lorem ipsum ".repeat(30));
            let request = request(customer, kind, agent, &input, &[("language", "en")]);
            (request.id.to_hex(), json!(["EVENT", request]).to_string())
        })
        .collect();
    let mut answers = Client::connect(url).await;
    let customers: Vec<PublicKey> = customers.iter().map(Keys::public_key).collect();
    let filter = json!({"kinds": [kind + 1000, 7000], "#p": customers, "since": now() - 60});
    answers.subscribe("answers", &[filter]).await;
    let publisher = Client::connect(url).await;
    let memory = Watched::start(pids);
    let began = Instant::now();
    let (sent, received) = tokio::try_join!(publish(publisher, &requests), receive(answers, count))?;
    let elapsed = began.elapsed();
    let latencies =
        received.iter().filter_map(|(id, at)| Some(at.saturating_duration_since(*sent.get(id)?))).collect();
    // By then, work after the last answers is done.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let what = format!("jobs of kind {kind}, all at once");
    Ok(Figures { what, count, elapsed, latencies, memory: Some(memory.stop()) })
}

/// Publishes all requests. Returns when each was sent.
async fn publish(
    mut client: Client,
    requests: &[(String, String)],
) -> Result<HashMap<String, Instant>, String> {
    let mut sent = HashMap::with_capacity(requests.len());
    let mut unanswered = 0;
    let mut next = requests.iter();
    loop {
        while unanswered < IN_FLIGHT
            && let Some((id, message)) = next.next()
        {
            sent.insert(id.clone(), Instant::now());
            client.send_text(message).await;
            unanswered += 1;
        }
        if unanswered == 0 {
            return Ok(sent);
        }
        let text = client.receive_text_within(PATIENCE).await.ok_or("the relay has stopped answering")?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if answer[2] != true {
            return Err(format!("the relay rejected a request: {text}"));
        }
        unanswered -= 1;
    }
}

/// Waits for all results. Returns when each arrived.
async fn receive(mut client: Client, count: usize) -> Result<HashMap<String, Instant>, String> {
    let mut received = HashMap::with_capacity(count);
    while received.len() < count {
        let text = client.receive_text_within(PATIENCE).await;
        let text =
            text.ok_or_else(|| format!("{} of {count} results came, and then nothing", received.len()))?;
        let at = Instant::now();
        let message: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let event = &message[2];
        let tag = |name: &str| {
            let tags = event["tags"].as_array()?;
            tags.iter().find(|tag| tag[0] == name)?[1].as_str().map(str::to_owned)
        };
        if event["kind"] == 7000 {
            if tag("status").as_deref() == Some("error") {
                return Err(format!("a job failed: {text}"));
            }
            continue;
        }
        if let Some(id) = tag("e")
            && received.insert(id, at).is_some()
        {
            return Err(format!("a second result: {text}"));
        }
    }
    Ok(received)
}
