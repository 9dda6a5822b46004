//! Counting events without reading them (NIP-45).

use nostr_sdk::nostr::Keys;
use openagents_tests::events::{event, fresh_author};
use openagents_tests::wire::{Client, Frame};
use serde_json::{Value, json};

use crate::servers::{Servers, scenarios};

scenarios![
    counts_what_a_request_would_bring,
    counts_an_event_of_several_filters_once,
    a_limit_does_not_count,
    authors_can_be_counted_over_several_relays,
    a_refused_count_is_closed_with_the_reason,
    what_would_look_at_too_much_is_counted_in_part,
];

/// The answer to a `COUNT`: the object, or why there is none.
pub(crate) async fn count(client: &mut Client, name: &str, filters: &[Value]) -> Result<Value, String> {
    let mut question = vec![json!("COUNT"), json!(name)];
    question.extend_from_slice(filters);
    client.send(&Value::Array(question)).await;
    let answer = |frame: &Frame| match frame {
        Frame::Count(of, count) if of == name => Some(Ok(count.clone())),
        Frame::Closed(of, why) if of == name => Some(Err(why.clone())),
        _ => None,
    };
    client.find(answer, "COUNT").await
}

async fn publish(client: &mut Client, kind: u16, topic: &str, number: u32) -> Keys {
    let author = fresh_author();
    client.publish_accepted(&event(&author, kind, &[&["t", topic]], &number.to_string())).await;
    author
}

fn topic() -> String {
    fresh_author().public_key().to_hex()
}

async fn counts_what_a_request_would_bring(servers: &Servers) {
    let mut client = servers.client().await;
    let topic = topic();
    for number in 0..5 {
        publish(&mut client, 1, &topic, number).await;
    }
    let author = publish(&mut client, 9_000, &topic, 5).await;
    for (filter, expected) in [
        (json!({"#t": [topic]}), 6),
        (json!({"#t": [topic], "kinds": [1]}), 5),
        (json!({"authors": [author.public_key()]}), 1),
        (json!({"#t": [topic], "until": 1}), 0),
        (json!({"#t": []}), 0),
    ] {
        let answer = count(&mut client, "c", std::slice::from_ref(&filter)).await.unwrap();
        assert_eq!(answer["count"], expected, "{filter}");
        assert_eq!(answer.get("approximate"), None);
    }
    // A `COUNT` is not a subscription.
    publish(&mut client, 1, &topic, 6).await;
    client.expect_silence().await;
}

async fn counts_an_event_of_several_filters_once(servers: &Servers) {
    let mut client = servers.client().await;
    let topic = topic();
    for (number, kind) in (0..).zip([1, 1, 9_000]) {
        publish(&mut client, kind, &topic, number).await;
    }
    let filters =
        [json!({"#t": [topic]}), json!({"#t": [topic], "kinds": [1]}), json!({"#t": [topic], "kinds": [7]})];
    assert_eq!(count(&mut client, "c", &filters).await, Ok(json!({"count": 3})));
}

async fn a_limit_does_not_count(servers: &Servers) {
    let mut client = servers.client().await;
    let topic = topic();
    for number in 0..3 {
        publish(&mut client, 1, &topic, number).await;
    }
    for limit in [0, 1, 100] {
        let answer = count(&mut client, "c", &[json!({"#t": [topic], "limit": limit})]).await.unwrap();
        assert_eq!(answer["count"], 3);
    }
}

/// NIP-45's steps for one event, written by hand.
fn apply(registers: &mut [u8], topic: &str, author: &Keys) {
    let offset = usize::from_str_radix(&topic[32..33], 16).unwrap() + 8;
    let key = author.public_key().to_bytes();
    let zeros = key[offset + 1..].iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let count = u8::try_from(zeros.take_while(|bit| *bit == 0).count()).unwrap() + 1;
    let register = &mut registers[usize::from(key[offset])];
    *register = count.max(*register);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn authors_can_be_counted_over_several_relays(servers: &Servers) {
    let mut client = servers.client().await;
    // 64 hex characters are used as they are.
    let topic = topic();
    let mut registers = vec![0; 256];
    for number in 0..8 {
        let author = publish(&mut client, 1, &topic, number).await;
        apply(&mut registers, &topic, &author);
    }
    let answer = count(&mut client, "c", &[json!({"kinds": [1], "#t": [topic]})]).await.unwrap();
    assert_eq!(answer, json!({"count": 8, "hll": hex(&registers)}));
    // NIP-45 has no rule for these.
    for filter in
        [json!({"kinds": [9_001]}), json!({"#t": [topic, "b"]}), json!({"#t": [topic], "#d": ["b"]})]
    {
        let answer = count(&mut client, "c", std::slice::from_ref(&filter)).await.unwrap();
        assert_eq!(answer.get("hll"), None, "{filter}");
    }
}

async fn a_refused_count_is_closed_with_the_reason(servers: &Servers) {
    let mut client = servers.client().await;
    let somebody = fresh_author().public_key();
    for (filter, prefix) in [
        (json!({"kinds": [1_059], "#p": [somebody]}), "auth-required: "),
        (json!({"kinds": "1"}), "invalid: "),
        (json!({"search": "nostr"}), "unsupported: "),
    ] {
        // The challenge that precedes the first answer is not part of this scenario.
        let why = count(&mut client, "c", std::slice::from_ref(&filter)).await.unwrap_err();
        assert!(why.starts_with(prefix), "{filter}: {why}");
    }
    client.expect_alive().await;
}

async fn what_would_look_at_too_much_is_counted_in_part(servers: &Servers) {
    let mut client = servers.client().await;
    let (topic, author) = (topic(), fresh_author());
    // Both are common, and never occur together.
    for number in 0..780 {
        let letter = if number < 520 { "t" } else { "x" };
        client.publish_accepted(&event(&author, 1, &[&[letter, &topic]], &number.to_string())).await;
    }
    let values = |others: usize| (0..others).map(|other| other.to_string()).chain([topic.clone()]);
    let filter = |others| json!({"#t": [topic], "#x": values(others).collect::<Vec<_>>()});
    assert_eq!(count(&mut client, "c", &[filter(10)]).await, Ok(json!({"count": 0})));
    assert_eq!(count(&mut client, "c", &[filter(1_000)]).await, Ok(json!({"count": 0, "approximate": true})));
    // A `REQ` finds nothing either, quickly, and subscribes.
    client.send(&json!(["REQ", "r", filter(1_000)])).await;
    let ended = |frame: &Frame| matches!(frame, Frame::EndOfStored(name) if name == "r").then_some(());
    client.find(ended, "EOSE").await;
    client.publish_accepted(&event(&author, 1, &[&["t", &topic], &["x", "7"]], "both")).await;
    let told = |frame: &Frame| match frame {
        Frame::Event(name, event) if name == "r" => Some(event.clone()),
        _ => None,
    };
    assert_eq!(client.find(told, "the event with both").await.content, "both");
}
