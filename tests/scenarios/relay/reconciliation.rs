//! Reconciliation (NIP-77): finds the events that a client or the relay lacks.

use nostr_sdk::prelude::{
    Client as NostrSdk, Event, Filter, MemoryDatabase, MemoryDatabaseOptions, SyncDirection, SyncOptions,
};
use openagents_tests::events::{event_at, fresh_author, now};
use openagents_tests::server::{Host, Object};
use openagents_tests::wire::{Client, Frame};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    nostr_sdk_gets_in_step_with_the_relay,
    a_reconciliation_goes_on_after_the_relay_slept,
    two_sides_that_have_the_same_learn_so_at_once,
    another_version_is_answered_with_ours,
    names_are_apart_from_those_of_subscriptions,
    what_cannot_be_reconciled_is_refused_with_the_reason,
    a_closed_reconciliation_is_over,
];

/// The message of a side without events: one range up to infinity with an empty list of ids.
const NOTHING: &str = "6100000200";

async fn ask(client: &mut Client, message: &Value) -> Result<String, String> {
    client.send(message).await;
    let name = message[1].as_str().unwrap().to_owned();
    let answer = |frame: &Frame| match frame {
        Frame::Reconcile(of, message) if *of == name => Some(Ok(message.clone())),
        Frame::ReconcileRefused(of, why) if *of == name => Some(Err(why.clone())),
        _ => None,
    };
    client.find(answer, "NEG-MSG or NEG-ERR").await
}

/// A relay's answer to [`NOTHING`]: all its ids, in order.
fn all(ids: &[&Event]) -> String {
    let mut sorted = ids.to_vec();
    sorted.sort_by_key(|event| (event.created_at, event.id));
    let ids: String = sorted.iter().map(|event| event.id.to_hex()).collect();
    format!("61000002{:02x}{ids}", sorted.len())
}

async fn nostr_sdk_gets_in_step_with_the_relay(servers: &Servers) {
    let mut wire = servers.client().await;
    let author = fresh_author();
    // Three seconds for all of them, so that many share a second.
    let events: Vec<Event> =
        (0..120).map(|number| event_at(&author, now() - number % 3, 1, &[], &number.to_string())).collect();
    for event in &events[..80] {
        wire.publish_accepted(event).await;
    }
    let kept = MemoryDatabaseOptions { events: true, max_events: None };
    let kept = MemoryDatabase::with_opts(kept);
    let client = NostrSdk::builder().signer(author.clone()).database(kept).build();
    client.add_relay(wire_url(servers)).await.expect("an address");
    client.connect().await;
    for event in &events[40..] {
        client.database().save_event(event).await.expect("a database in memory");
    }
    let options = SyncOptions::new().direction(SyncDirection::Both);
    let synced =
        client.sync(Filter::new().author(author.public_key()), &options).await.expect("a reconciliation");
    assert_eq!((synced.local.len(), synced.remote.len()), (40, 40));
    assert_eq!((synced.sent.len(), synced.received.len()), (40, 40), "{:?}", synced.send_failures);
    let stored = wire.query(&[json!({"authors": [author.public_key()]})]).await;
    assert_eq!(stored.len(), events.len());
    client.shutdown().await;
}

fn wire_url(servers: &Servers) -> String {
    servers.hello_world().url()
}

async fn a_reconciliation_goes_on_after_the_relay_slept(servers: &Servers) {
    let server = servers.own("hello-world");
    let mut client = Client::connect(&server.url()).await;
    let author = fresh_author();
    let now = now();
    let events = [1, 2, 3].map(|age| event_at(&author, now - age, 1, &[], "x"));
    client.publish_accepted(&events[0]).await;
    client.publish_accepted(&events[1]).await;
    let filter = json!({"authors": [author.public_key()]});
    let first = ask(&mut client, &json!(["NEG-OPEN", "n", filter, NOTHING])).await;
    assert_eq!(first, Ok(all(&[&events[0], &events[1]])));
    if servers.host() == Host::Workerd {
        server.hibernate(Object::Relay).unwrap_or_else(|error| panic!("{error}"));
    }
    let next = ask(&mut client, &json!(["NEG-MSG", "n", NOTHING])).await;
    assert_eq!(next, Ok(all(&[&events[0], &events[1]])));
}

async fn two_sides_that_have_the_same_learn_so_at_once(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let now = now();
    let events = [1, 2].map(|age| event_at(&author, now - age, 1, &[], "x"));
    for event in &events {
        client.publish_accepted(event).await;
    }
    let filter = |limit| json!({"authors": [author.public_key()], "limit": limit});
    // Only the newest, as a `REQ` with this limit would return.
    let newest = ask(&mut client, &json!(["NEG-OPEN", "n", filter(1), NOTHING])).await;
    assert_eq!(newest, Ok(all(&[&events[0]])));
    let nothing = json!({"authors": [fresh_author().public_key()]});
    assert_eq!(ask(&mut client, &json!(["NEG-OPEN", "n", nothing, NOTHING])).await, Ok(NOTHING.to_owned()));
    // The fingerprint of an empty set: the first half of SHA-256 of 32 zeros and a length of 0.
    let fingerprint = "7f9c9e31ac8256ca2f258583df262dbc";
    let same = ask(&mut client, &json!(["NEG-MSG", "n", format!("61000001{fingerprint}")])).await;
    assert_eq!(same, Ok("61".to_owned()));
}

async fn another_version_is_answered_with_ours(servers: &Servers) {
    let mut client = servers.client().await;
    let answer = ask(&mut client, &json!(["NEG-OPEN", "n", {"kinds": [9_002]}, "62000002"])).await;
    assert_eq!(answer, Ok("61".to_owned()));
    // The client tries again with our version.
    let answer = ask(&mut client, &json!(["NEG-OPEN", "n", {"kinds": [9_002]}, NOTHING])).await;
    assert_eq!(answer, Ok(NOTHING.to_owned()));
}

async fn names_are_apart_from_those_of_subscriptions(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let filter = json!({"authors": [author.public_key()]});
    client.subscribe("same", std::slice::from_ref(&filter)).await;
    assert_eq!(ask(&mut client, &json!(["NEG-OPEN", "same", filter, NOTHING])).await, Ok(NOTHING.to_owned()));
    client.close("same").await;
    assert_eq!(ask(&mut client, &json!(["NEG-MSG", "same", NOTHING])).await, Ok(NOTHING.to_owned()));
    client.subscribe("same", &[filter]).await;
    client.send(&json!(["NEG-CLOSE", "same"])).await;
    let event = event_at(&author, now(), 1, &[], "still subscribed");
    client.publish_accepted(&event).await;
    assert_eq!(client.next_event("same").await, event);
}

async fn what_cannot_be_reconciled_is_refused_with_the_reason(servers: &Servers) {
    let mut client = servers.client().await;
    for (filter, message, prefix) in [
        (json!({"kinds": [1_059], "#p": [fresh_author().public_key()]}), NOTHING, "auth-required: "),
        (json!({"search": "nostr"}), NOTHING, "unsupported: "),
        (json!({"kinds": "1"}), NOTHING, "invalid: "),
        (json!({"kinds": [9_002]}), "", "invalid: "),
        (json!({"kinds": [9_002]}), "no hex", "invalid: "),
        (json!({"kinds": [9_002]}), "6100000105", "invalid: "),
        // A list with an alleged length of 2^56 ids.
        (json!({"kinds": [9_002]}), "61000002ffffffffffffff7f", "invalid: "),
    ] {
        let why = ask(&mut client, &json!(["NEG-OPEN", "n", filter, message])).await.unwrap_err();
        assert!(why.starts_with(prefix), "{filter} {message}: {why}");
        let why = ask(&mut client, &json!(["NEG-MSG", "n", NOTHING])).await.unwrap_err();
        assert!(why.starts_with("closed: "), "a refused one is over: {why}");
    }
    client.expect_alive().await;
}

async fn a_closed_reconciliation_is_over(servers: &Servers) {
    let mut client = servers.client().await;
    let open = |name: &str| json!(["NEG-OPEN", name, {"kinds": [9_002]}, NOTHING]);
    for number in 0..8 {
        assert!(ask(&mut client, &open(&number.to_string())).await.is_ok());
    }
    let why = ask(&mut client, &open("one too many")).await.unwrap_err();
    assert!(why.starts_with("blocked: "), "{why}");
    client.send(&json!(["NEG-CLOSE", "0"])).await;
    let why = ask(&mut client, &json!(["NEG-MSG", "0", NOTHING])).await.unwrap_err();
    assert!(why.starts_with("closed: "), "{why}");
    assert!(ask(&mut client, &open("one more")).await.is_ok());
    // A new one with the same id replaces an open one.
    assert!(ask(&mut client, &open("1")).await.is_ok());
}
