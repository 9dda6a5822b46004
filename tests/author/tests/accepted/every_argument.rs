//! An agent with every argument of `#[agent]`, and the declaration that they become.

use std::time::Duration;

use openagents_sdk::declaration::{AgentDeclaration, Requests};
use openagents_sdk::prelude::*;
use openagents_sdk::{Agent, Jobs};

#[agent(
    name = "every-argument",
    about = "Uses them all.",
    version = "1.2.0",
    picture = "https://example.com/agent.png",
    nip05 = "_@example.com",
    topics("greeting", "good-manners"),
    relays("wss://relay.example.com", "ws://localhost:7777/path"),
    requests = "named",
    concurrency = 1000,
    queue = 1_000_000,
    max_age = "7d",
    heartbeat = "1m",
    state_version = 2
)]
#[derive(Default, Serialize, Deserialize)]
struct EveryArgument;

#[jobs]
impl EveryArgument {
    #[job(
        kind = 5999,
        name = "summarise",
        timeout = "10m",
        attempts = 1,
        processing_after = "10m",
        price = "21 sat"
    )]
    async fn work(&self) -> JobResult<()> {
        Ok(())
    }
}

#[agent(name = "no-argument", requests = "anyone")]
#[derive(Default, Serialize, Deserialize)]
struct NoArgument;

#[test]
fn is_accepted() {
    let declaration = EveryArgument::DECLARATION;
    assert_eq!((declaration.about, declaration.version), ("Uses them all.", "1.2.0"));
    assert_eq!((declaration.picture, declaration.nip05), ("https://example.com/agent.png", "_@example.com"));
    assert_eq!(declaration.topics, ["greeting", "good-manners"]);
    assert_eq!(declaration.relays, ["wss://relay.example.com", "ws://localhost:7777/path"]);
    assert_eq!(declaration.requests, Requests::Named);
    assert_eq!((declaration.concurrency, declaration.queue), (1_000, 1_000_000));
    assert_eq!(declaration.max_age, Duration::from_secs(604_800));
    assert_eq!(declaration.heartbeat, Some(Duration::from_secs(60)));
    assert_eq!(declaration.state_version, 2);
    let job = EveryArgument::HANDLERS[0].declaration;
    assert_eq!((job.kind, job.name, job.about), (5999, "summarise", ""));
    assert_eq!((job.timeout.as_secs(), job.attempts, job.price), (600, 1, Price::sat(21)));
    assert_eq!(job.processing_after.as_secs(), 600);

    let plain = NoArgument::DECLARATION;
    let named = AgentDeclaration { version: plain.version, ..AgentDeclaration::new("no-argument") };
    let of_crate = AgentDeclaration { license: plain.license, repository: plain.repository, ..named };
    assert_eq!(plain, AgentDeclaration { authors: plain.authors, homepage: plain.homepage, ..of_crate });
}
