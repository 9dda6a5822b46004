//! The test kit plays agents that are hired, and external relays.

use std::time::Duration;

use openagents_sdk::client::Order;
use openagents_sdk::nip90::RequestBuilder;
use openagents_sdk::nostr::{Encryption, Filter, Kind, UnsignedEvent};
use openagents_sdk::prelude::*;
use openagents_sdk::testing::{Job, Reply, TestAgent, TestProvider, customer};

const SECOND: Duration = Duration::from_secs(1);
const RELAY: &str = "wss://relay.example.com";

#[agent(name = "editor")]
#[derive(Default, Serialize, Deserialize)]
struct Editor;

#[jobs]
impl Editor {
    /// Has a text translated.
    #[job(kind = 5000, timeout = "10m")]
    async fn translate(&self, text: Text, context: JobContext) -> JobResult<String> {
        let order = RequestBuilder::new(Kind(5002)).text(text.into_string());
        let mut job = context.hire(order).await?;
        let result = job.result(Duration::from_secs(60)).await;
        Ok(result.map_err(|error| JobError::failed(error.to_string()))?.content)
    }

    /// The same, between the two of them.
    #[job(kind = 5001, timeout = "10m")]
    async fn translate_in_secret(&self, text: Text, context: JobContext) -> JobResult<String> {
        let provider = TestProvider::new(5002, |_| Reply::new()).public_key();
        let order = RequestBuilder::new(Kind(5002)).provider(&provider).text(text.into_string());
        let mut job = context.hire(Order::new(order).sealed(Encryption::Nip44)).await?;
        Ok(job.result(Duration::from_secs(60)).await?.content)
    }

    /// Hires on another relay.
    #[job(kind = 5003, timeout = "10m")]
    async fn translate_elsewhere(&self, text: Text, context: JobContext) -> JobResult<String> {
        let order = RequestBuilder::new(Kind(5002)).text(text.into_string());
        let mut job = context.hire_on(RELAY, order).await?;
        Ok(job.result(Duration::from_secs(60)).await?.content)
    }

    /// Publishes on another relay what it reads there, signed.
    #[job(kind = 5004)]
    async fn repeat(&self, context: JobContext) -> JobResult<String> {
        let relay = context.relay(RELAY)?;
        let notes = relay.events([Filter::new().kinds([1])]).await?;
        let echo = context.sign(UnsignedEvent::new(Kind(1), format!("{} notes", notes.len())));
        relay.publish(echo.clone())?;
        context.publish(echo.clone());
        relay.publish(UnsignedEvent::new(Kind(7), "+"))?;
        Ok(echo.id.to_hex())
    }

    /// Publishes too much, or where it may not.
    #[job(kind = 5005, attempts = 1)]
    async fn flood(&self, relay: Text, context: JobContext) -> JobResult<String> {
        let relay = context.relay(&relay)?;
        for number in 0..101 {
            relay.publish(UnsignedEvent::new(Kind(1), number.to_string()))?;
        }
        Ok(String::new())
    }
}

fn translator() -> TestProvider {
    TestProvider::new(5002, |request| match request.text() {
        Some("Good day") => {
            Reply::new().processing("looking it up").pause(Duration::from_secs(5)).result("Bonjour")
        }
        Some("silence") => Reply::new(),
        _ => Reply::new().error("I only know one phrase"),
    })
}

fn start() -> TestAgent<Editor> {
    TestAgent::builder().hires(translator()).start()
}

#[test]
fn a_hired_agent_answers_after_its_time() {
    let mut agent = start();
    let job = agent.submit(Job::of(5000).text("Good day"));
    agent.advance(SECOND * 4);
    assert!(agent.find_result(&job).is_none());
    agent.settle();
    assert_eq!(agent.result(&job).content, "Bonjour");
    let events = agent.relay_events();
    let request = events.iter().find(|event| event.kind == Kind(5002)).unwrap();
    assert_eq!((request.pubkey, request.content.as_str()), (agent.public_key(), ""));
}

#[test]
fn a_hired_agent_may_refuse_or_stay_silent() {
    let mut agent = start();
    let job = agent.submit(Job::of(5000).text("Good night"));
    agent.finish(&job);
    assert!(agent.error(&job).contains("I only know one phrase"), "{}", agent.error(&job));
    let job = agent.submit(Job::of(5000).text("silence"));
    agent.advance(SECOND * 59);
    assert!(agent.find_result(&job).is_none() && agent.feedback(&job).len() == 1);
    agent.finish(&job);
    assert!(agent.error(&job).starts_with("no result within 60s"), "{}", agent.error(&job));
}

#[test]
fn nobody_answers_if_nobody_is_hired() {
    let mut agent = TestAgent::<Editor>::start();
    let job = agent.submit(Job::of(5000).text("Good day"));
    agent.finish(&job);
    assert!(agent.error(&job).starts_with("no result within 60s"), "{}", agent.error(&job));
}

#[test]
fn a_hired_agent_keeps_a_secret() {
    let mut agent = start();
    let job = agent.submit(Job::of(5001).text("Good day").sealed(Encryption::Nip44));
    agent.settle();
    assert_eq!(agent.result(&job).content, "Bonjour");
    let seen: String = agent.relay_events().iter().map(|event| event.json().to_string()).collect();
    assert!(!seen.contains("Good day") && !seen.contains("Bonjour"), "{seen}");
}

#[test]
fn an_agent_is_hired_on_another_relay() {
    let mut agent = start();
    let job = agent.submit(Job::of(5003).text("Good day"));
    agent.settle();
    assert_eq!(agent.result(&job).content, "Bonjour");
    let kinds: Vec<u16> = agent.external_events(RELAY).iter().map(|event| event.kind.0).collect();
    assert_eq!(kinds, [5002, 7000, 6002]);
    assert!(!agent.relay_events().iter().any(|event| event.kind == Kind(5002)));
}

#[test]
fn publishes_on_a_named_relay_what_is_signed_and_what_is_not() {
    let mut agent = start();
    let now = agent.now();
    let note = UnsignedEvent::new(Kind(1), "hello").sign(&customer(7), now);
    agent.publish_external(RELAY, &note);
    let job = agent.submit(Job::of(5004));
    let id = agent.result(&job).content;
    let there = agent.external_events(RELAY);
    let contents: Vec<&str> = there.iter().map(|event| event.content.as_str()).collect();
    assert_eq!(contents, ["hello", "1 notes", "+"]);
    assert!(there[1].id.to_hex() == id && there[2].pubkey == agent.public_key());
    assert!(agent.relay_events().iter().any(|event| event.id.to_hex() == id));
}

#[test]
fn publishes_nothing_of_a_run_that_failed_and_only_where_it_may() {
    let mut agent = start();
    let job = agent.submit(Job::of(5005).text(RELAY));
    assert_eq!(agent.error(&job), "the agent failed to do this job");
    assert!(agent.external_events(RELAY).is_empty());
    for relay in ["ws://relay.example.com", "wss://127.0.0.1", "https://relay.example.com", "relay"] {
        let job = agent.submit(Job::of(5005).text(relay));
        assert_eq!(agent.error(&job), "the agent cannot use this relay", "{relay}");
    }
}
