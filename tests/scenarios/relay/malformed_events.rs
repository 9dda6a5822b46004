//! Malformed events: each gets `OK false` with the reason, or a `NOTICE` if it has no id.

use nostr_sdk::nostr::Event;
use openagents_tests::events::{as_json, fresh_author, note};
use openagents_tests::wire::Client;
use serde_json::{Value, json};

use crate::relay::malformed_messages::{Answer, expect, expect_unharmed};
use crate::servers::{Servers, scenarios};

scenarios![
    an_event_that_is_no_object,
    the_values_of_an_event_without_their_names,
    an_event_without_usable_id,
    an_event_without_a_field,
    a_field_of_the_wrong_type,
    hex_in_upper_case,
    hex_of_the_wrong_length,
    a_number_with_a_fraction_or_an_exponent,
    a_number_below_zero,
    a_number_beyond_all_bounds,
    a_field_that_is_there_twice,
    a_tag_without_a_name,
    a_tag_that_holds_something_else_than_strings,
    a_field_that_nip01_does_not_have_is_passed_over,
    the_nul_character_is_a_character,
];

/// A valid event as JSON, and a connection.
struct Bent {
    client: Client,
    event: Event,
    json: Value,
}

impl Bent {
    async fn new(servers: &Servers) -> Self {
        let event = note(&fresh_author(), "well made");
        Self { client: servers.client().await, json: as_json(&event), event }
    }

    /// The event with another value in one field is rejected.
    async fn expect_refusal(&mut self, field: &str, value: &Value) {
        let mut bent = self.json.clone();
        bent[field] = value.clone();
        self.expect_refusal_of(&bent.to_string()).await;
    }

    async fn expect_refusal_of(&mut self, event: &str) {
        let (text, id) = (format!("[\"EVENT\",{event}]"), self.event.id.to_hex());
        expect(&mut self.client, &text, Answer::Ok(&id), "invalid").await;
    }

    /// The event's JSON with part of its text replaced, as no JSON library would write it.
    fn respelled(&self, field: &str, value: &str) -> String {
        let member = |value: &str| format!("\"{field}\":{value}");
        let (json, whole) = (self.json.to_string(), member(&self.json[field].to_string()));
        assert!(json.contains(&whole), "{whole} in {json}");
        json.replace(&whole, &member(value))
    }

    /// None of them was stored.
    async fn end(mut self, servers: &Servers) {
        assert_eq!(self.client.query(&[json!({"authors": [self.event.pubkey]})]).await, []);
        expect_unharmed(servers, self.client).await;
    }
}

async fn an_event_that_is_no_object(servers: &Servers) {
    let mut client = servers.client().await;
    for event in ["null", "true", "1", "\"event\"", "[]", "[[]]", "{}", "[1,\"a\"]"] {
        expect(&mut client, &format!("[\"EVENT\",{event}]"), Answer::Notice, "invalid").await;
    }
    expect_unharmed(servers, client).await;
}

/// The form of NIP-01's hash, with the signature: an array where an object has to be.
async fn the_values_of_an_event_without_their_names(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    let fields = ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"];
    let values: Vec<&Value> = fields.iter().map(|field| &bent.json[field]).collect();
    let text = format!("[\"EVENT\",{}]", json!(values));
    expect(&mut bent.client, &text, Answer::Notice, "invalid").await;
    bent.end(servers).await;
}

async fn an_event_without_usable_id(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    let id = bent.event.id.to_hex();
    for wrong in [
        json!(null),
        json!(1),
        json!([id]),
        json!(""),
        json!("short"),
        json!("zz".repeat(32)),
        json!(id.to_uppercase()),
        json!(format!("{id}00")),
        json!(format!(" {id}")),
    ] {
        bent.json["id"] = wrong;
        let text = json!(["EVENT", bent.json]).to_string();
        expect(&mut bent.client, &text, Answer::Notice, "invalid").await;
    }
    bent.json.as_object_mut().expect("an object").remove("id");
    let text = json!(["EVENT", bent.json]).to_string();
    expect(&mut bent.client, &text, Answer::Notice, "invalid").await;
    bent.end(servers).await;
}

async fn an_event_without_a_field(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    for field in ["pubkey", "created_at", "kind", "tags", "content", "sig"] {
        let mut without = bent.json.clone();
        without.as_object_mut().expect("an object").remove(field);
        bent.expect_refusal_of(&without.to_string()).await;
    }
    let only_id = json!({"id": bent.event.id});
    bent.expect_refusal_of(&only_id.to_string()).await;
    bent.end(servers).await;
}

async fn a_field_of_the_wrong_type(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    let (texts, numbers) = (["pubkey", "content", "sig"], ["created_at", "kind"]);
    for value in [json!(null), json!(true), json!(1), json!([]), json!(["a"]), json!({"a": "b"})] {
        for field in texts {
            bent.expect_refusal(field, &value).await;
        }
    }
    for value in [json!(null), json!(true), json!("1"), json!(""), json!([1]), json!({})] {
        for field in numbers {
            bent.expect_refusal(field, &value).await;
        }
    }
    for value in [json!(null), json!(true), json!(1), json!("t"), json!({}), json!({"t": ["a"]})] {
        bent.expect_refusal("tags", &value).await;
    }
    bent.end(servers).await;
}

async fn hex_in_upper_case(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    for field in ["pubkey", "sig"] {
        let upper = bent.json[field].as_str().expect("a string").to_uppercase();
        bent.expect_refusal(field, &json!(upper)).await;
        // One digit is enough.
        let digit = bent.json[field].as_str().expect("a string").find(|digit: char| digit.is_alphabetic());
        let mut one = bent.json[field].as_str().expect("a string").to_owned();
        if let Some(at) = digit {
            one.replace_range(at..=at, &one[at..=at].to_uppercase());
            bent.expect_refusal(field, &json!(one)).await;
        }
    }
    bent.end(servers).await;
}

async fn hex_of_the_wrong_length(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    for field in ["pubkey", "sig"] {
        let right = bent.json[field].as_str().expect("a string").to_owned();
        let (shorter, much_shorter) = (&right[1..], &right[2..]);
        for wrong in
            ["", "0", "0x", shorter, much_shorter, &format!("{right}00"), &format!("{much_shorter}xy")]
        {
            bent.expect_refusal(field, &json!(wrong)).await;
        }
        bent.expect_refusal(field, &json!(format!("{}é", much_shorter))).await;
    }
    bent.end(servers).await;
}

async fn a_number_with_a_fraction_or_an_exponent(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    for field in ["created_at", "kind"] {
        for spelled in ["1.0", "1.5", "1e3", "1E0", "0.1e1", "1e-1"] {
            let event = bent.respelled(field, spelled);
            bent.expect_refusal_of(&event).await;
        }
    }
    bent.end(servers).await;
}

async fn a_number_below_zero(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    for field in ["created_at", "kind"] {
        for spelled in ["-1", "-0.0", "-9223372036854775808", "-9223372036854775809", "-1e400"] {
            let event = bent.respelled(field, spelled);
            bent.expect_refusal_of(&event).await;
        }
    }
    bent.end(servers).await;
}

async fn a_number_beyond_all_bounds(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    for kind in ["65536", "4294967297", "18446744073709551615", "18446744073709551617", "1e400"] {
        let event = bent.respelled("kind", kind);
        bent.expect_refusal_of(&event).await;
    }
    // 2⁵³ is the first second that not every host can represent exactly.
    for time in
        ["9007199254740992", "9007199254740993", "18446744073709551615", "18446744073709551616", "1e400"]
    {
        let event = bent.respelled("created_at", time);
        bent.expect_refusal_of(&event).await;
    }
    bent.end(servers).await;
}

async fn a_field_that_is_there_twice(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    let json = bent.json.to_string();
    for field in ["pubkey", "created_at", "kind", "tags", "content", "sig"] {
        let member = format!("\"{field}\":{}", bent.json[field]);
        bent.expect_refusal_of(&json.replacen('{', &format!("{{{member},"), 1)).await;
    }
    // It is unclear which of the two ids the sender waits for.
    let twice = json.replacen('{', &format!("{{\"id\":\"{}\",", bent.event.id), 1);
    expect(&mut bent.client, &format!("[\"EVENT\",{twice}]"), Answer::Notice, "invalid").await;
    bent.end(servers).await;
}

async fn a_tag_without_a_name(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    for tags in [json!([[]]), json!([["t", "a"], []])] {
        bent.expect_refusal("tags", &tags).await;
    }
    bent.end(servers).await;
}

async fn a_tag_that_holds_something_else_than_strings(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    for tags in [
        json!(["t"]),
        json!([null]),
        json!([1]),
        json!([{"t": "a"}]),
        json!([[null]]),
        json!([["t", null]]),
        json!([["t", 1]]),
        json!([["t", true]]),
        json!([["t", ["a"]]]),
        json!([["t", {}]]),
        json!([[["t"]]]),
        json!([["t", "a"], ["t", 2]]),
    ] {
        bent.expect_refusal("tags", &tags).await;
    }
    bent.end(servers).await;
}

async fn a_field_that_nip01_does_not_have_is_passed_over(servers: &Servers) {
    let mut bent = Bent::new(servers).await;
    bent.json["seen_on"] = json!(["wss://relay.example"]);
    bent.json["__proto__"] = json!({"id": null});
    let answer = bent.client.publish_json(&bent.json).await;
    assert!(answer.accepted, "{answer:?}");
    // The extra field is not signed, so it is not stored either.
    bent.client.send(&json!(["REQ", "raw", {"ids": [bent.event.id]}])).await;
    let sent = bent.client.receive_text_within(openagents_tests::wire::PATIENCE).await.expect("the event");
    let sent: Value = serde_json::from_str(&sent).expect("JSON");
    assert_eq!(sent, json!(["EVENT", "raw", as_json(&bent.event)]));
}

async fn the_nul_character_is_a_character(servers: &Servers) {
    let mut client = servers.client().await;
    let author = fresh_author();
    let text = "before\0after\u{1}\u{1f}\u{7f}";
    let event = openagents_tests::events::event(&author, 1, &[&["t", text], &["t", "before"]], text);
    client.publish_accepted(&event).await;
    let author = author.public_key();
    for value in [text, "before"] {
        assert_eq!(
            client.query(&[json!({"authors": [author], "#t": [value]})]).await,
            std::slice::from_ref(&event)
        );
    }
    for value in ["before\0", "before\0other", ""] {
        assert_eq!(client.query(&[json!({"authors": [author], "#t": [value]})]).await, []);
    }
    expect_unharmed(servers, client).await;
}
