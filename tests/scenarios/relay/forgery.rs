//! Forgeries: no event with a wrong id or signature is accepted, and the answer says why.

use nostr_sdk::nostr::Event;
use openagents_tests::events::{as_json, fresh_author, note, verified};
use openagents_tests::wire::Client;
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    rejects_event_with_forged_id,
    rejects_event_with_forged_signature,
    rejects_event_of_another_author,
    rejects_changed_content,
    rejects_changed_tags,
    rejects_changed_time,
    rejects_changed_kind,
    rejects_a_signature_that_is_no_signature,
    rejects_a_public_key_that_is_not_on_the_curve,
    a_forgery_does_not_hide_the_real_event,
    a_forgery_under_a_stored_id_is_refused,
    a_forgery_reaches_no_subscriber,
];

fn original() -> (Event, Value) {
    let event = note(&fresh_author(), "the real one");
    let json = as_json(&event);
    (event, json)
}

/// The forgery is rejected as `invalid`, is not stored, and the connection stays open.
async fn expect_refusal(servers: &Servers, forged: Value) {
    let mut client = servers.client().await;
    refuse(&mut client, &forged).await;
    client.expect_alive().await;
}

async fn refuse(client: &mut Client, forged: &Value) {
    let answer = client.publish_json(forged).await;
    assert!(answer.refused_as("invalid"), "expected an `invalid:` refusal, got {answer:?}");
    assert_eq!(client.query(&[json!({"ids": [forged["id"]]})]).await, []);
}

async fn rejects_event_with_forged_id(servers: &Servers) {
    let (_, mut forged) = original();
    forged["id"] = json!("ab".repeat(32));
    expect_refusal(servers, forged).await;
}

async fn rejects_event_with_forged_signature(servers: &Servers) {
    let (_, mut forged) = original();
    forged["sig"] = original().1["sig"].clone();
    expect_refusal(servers, forged).await;
}

async fn rejects_event_of_another_author(servers: &Servers) {
    let (_, mut forged) = original();
    forged["pubkey"] = json!(fresh_author().public_key());
    expect_refusal(servers, forged).await;
}

async fn rejects_changed_content(servers: &Servers) {
    let (_, mut forged) = original();
    forged["content"] = json!("something else");
    expect_refusal(servers, forged).await;
}

async fn rejects_changed_tags(servers: &Servers) {
    let (_, mut forged) = original();
    forged["tags"] = json!([["p", "00".repeat(32)]]);
    expect_refusal(servers, forged).await;
}

async fn rejects_changed_time(servers: &Servers) {
    let (event, mut forged) = original();
    forged["created_at"] = json!(event.created_at.as_secs() - 1);
    expect_refusal(servers, forged).await;
}

async fn rejects_changed_kind(servers: &Servers) {
    let (_, mut forged) = original();
    forged["kind"] = json!(5050);
    expect_refusal(servers, forged).await;
}

async fn rejects_a_signature_that_is_no_signature(servers: &Servers) {
    for signature in ["00".repeat(64), "ff".repeat(64)] {
        let (_, mut forged) = original();
        forged["sig"] = json!(signature);
        expect_refusal(servers, forged).await;
    }
}

async fn rejects_a_public_key_that_is_not_on_the_curve(servers: &Servers) {
    for key in ["00".repeat(32), "ff".repeat(32), format!("{}05", "00".repeat(31))] {
        let (_, mut forged) = original();
        forged["pubkey"] = json!(key);
        expect_refusal(servers, forged).await;
    }
}

async fn a_forgery_does_not_hide_the_real_event(servers: &Servers) {
    let mut client = servers.client().await;
    let (event, json) = original();
    let mut forged = json.clone();
    forged["sig"] = original().1["sig"].clone();
    refuse(&mut client, &forged).await;
    // The relay has seen the id in the forgery; the real event must not be called a duplicate.
    client.publish_accepted(&event).await;
    assert!(client.publish_json(&forged).await.refused_as("invalid"));
    let stored = client.query(&[json!({"ids": [event.id]})]).await;
    assert_eq!(stored, [verified(&json)]);
}

async fn a_forgery_under_a_stored_id_is_refused(servers: &Servers) {
    let mut client = servers.client().await;
    let (event, json) = original();
    client.publish_accepted(&event).await;
    let other =
        as_json(&openagents_tests::events::event_at(&fresh_author(), 9, 7, &[&["t", "x"]], "another"));
    for field in ["content", "tags", "created_at", "kind", "pubkey", "sig"] {
        let mut forged = json.clone();
        forged[field] = other[field].clone();
        let answer = client.publish_json(&forged).await;
        assert!(answer.refused_as("invalid"), "{field}: {answer:?}");
        // Messages that arrive together are examined together.
        client.send(&json!(["EVENT", forged])).await;
        client.send(&json!(["EVENT", json])).await;
        let id = event.id.to_hex();
        assert!(client.answer_to(&id).await.refused_as("invalid"), "{field}");
        let honest = client.answer_to(&id).await;
        assert!(honest.accepted && honest.message.starts_with("duplicate: "), "{honest:?}");
    }
    assert_eq!(client.query(&[json!({"ids": [event.id]})]).await, [verified(&json)]);
}

async fn a_forgery_reaches_no_subscriber(servers: &Servers) {
    let mut subscriber = servers.client().await;
    let mut forger = servers.client().await;
    let (event, mut forged) = original();
    subscriber.subscribe("victim", &[json!({"authors": [event.pubkey]})]).await;
    forged["content"] = json!("words put into a mouth");
    refuse(&mut forger, &forged).await;
    subscriber.expect_silence().await;
    forger.publish_accepted(&event).await;
    assert_eq!(subscriber.next_event("victim").await, event);
}
