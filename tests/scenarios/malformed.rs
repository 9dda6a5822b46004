//! Input that is no message: it is answered, the connection stays, and the server lives on.

use openagents_tests::events::{as_json, fresh_author, note};
use openagents_tests::wire::{Client, Frame};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::stage::{Stage, scenarios};

scenarios![
    answers_wrong_json_with_a_notice,
    answers_an_unknown_verb_with_a_notice,
    answers_a_message_of_the_wrong_shape,
    answers_a_malformed_event_with_ok_false,
    answers_an_event_without_usable_id_with_a_notice,
    answers_a_binary_frame_with_a_notice,
    survives_text_that_is_not_utf8,
    survives_deep_nesting,
    survives_an_empty_message,
    survives_a_thousand_wrong_messages_in_a_row,
];

/// A `NOTICE`, or the refusal that fits the message, both with a NIP-01 prefix.
fn assert_is_refusal(answer: &Frame, sent: &str) {
    let shown: String = sent.chars().take(100).collect();
    let message = match answer {
        Frame::Notice(message) | Frame::Closed(_, message) | Frame::Ok(_, false, message) => message,
        other => panic!("for {shown}: expected a refusal, got {other:?}"),
    };
    let prefix = message.split(": ").next().unwrap_or_default();
    assert!(
        ["invalid", "unsupported", "error", "restricted"].contains(&prefix),
        "for {shown}: a message without prefix: {message}"
    );
}

async fn expect_refusals(client: &mut Client, texts: &[&str]) {
    for text in texts {
        client.send_text(text).await;
        assert_is_refusal(&client.receive().await, text);
    }
    client.expect_alive().await;
}

async fn answers_wrong_json_with_a_notice(stage: &Stage) {
    let mut client = stage.client().await;
    let texts = [
        "hello",
        "{",
        "[",
        "[\"EVENT\"",
        "[\"REQ\",\"a\",{}",
        "[\"REQ\",\"a\",{}]]",
        "['REQ','a',{}]",
        "[\"EVENT\",{\"id\":}]",
        "[\"CLOSE\",\"\\x\"]",
        "[\"CLOSE\",\"\\ud800\"]",
        "[\"CLOSE\",\"a\nb\"]",
        "NaN",
        "[\"REQ\",\"a\",{\"limit\":NaN}]",
        "[\"EVENT\"] trailing",
        "\u{feff}[\"CLOSE\",\"a\"]",
    ];
    for text in texts {
        client.send_text(text).await;
        let answer = client.receive().await;
        assert!(matches!(answer, Frame::Notice(_) | Frame::Closed(..)), "for {text}: {answer:?}");
        assert_is_refusal(&answer, text);
    }
    client.expect_alive().await;
}

async fn answers_an_unknown_verb_with_a_notice(stage: &Stage) {
    let mut client = stage.client().await;
    for text in [r#"["HELLO","a"]"#, r#"["event",{}]"#, r#"["",""]"#, r#"["OK","00",true,""]"#] {
        client.send_text(text).await;
        match client.receive().await {
            Frame::Notice(message) => assert!(message.contains(": "), "{message}"),
            other => panic!("for {text}: expected NOTICE, got {other:?}"),
        }
    }
    client.expect_alive().await;
}

async fn answers_a_message_of_the_wrong_shape(stage: &Stage) {
    let mut client = stage.client().await;
    let texts = [
        "[]",
        "{}",
        "null",
        "1",
        "\"EVENT\"",
        "[null]",
        "[1,2,3]",
        "[[\"EVENT\"]]",
        "[\"EVENT\"]",
        "[\"EVENT\",null]",
        "[\"EVENT\",\"event\"]",
        "[\"EVENT\",[]]",
        "[\"EVENT\",{}]",
        "[\"REQ\"]",
        "[\"REQ\",1,{}]",
        "[\"REQ\",null,{}]",
        "[\"REQ\",\"\",{}]",
        "[\"CLOSE\"]",
        "[\"CLOSE\",7]",
    ];
    expect_refusals(&mut client, &texts).await;
}

async fn answers_a_malformed_event_with_ok_false(stage: &Stage) {
    let mut client = stage.client().await;
    let event = as_json(&note(&fresh_author(), "well made"));
    let wrong = [
        ("pubkey", json!("short")),
        ("pubkey", json!(event["pubkey"].as_str().expect("a string").to_uppercase())),
        ("pubkey", json!(null)),
        ("created_at", json!(-1)),
        ("created_at", json!(1.5)),
        ("created_at", json!("1700000000")),
        ("created_at", json!(u64::MAX)),
        ("kind", json!(65_536)),
        ("kind", json!(-1)),
        ("kind", json!("1")),
        ("kind", json!(1.5)),
        ("tags", json!(null)),
        ("tags", json!({})),
        ("tags", json!(["t"])),
        ("tags", json!([["t", 1]])),
        ("tags", json!([["t", null]])),
        ("tags", json!([[["t"]]])),
        ("content", json!(null)),
        ("content", json!(1)),
        ("content", json!({"text": "x"})),
        ("sig", json!("00")),
        ("sig", json!("xy".repeat(64))),
        ("sig", json!(null)),
    ];
    for (field, value) in wrong {
        let mut malformed = event.clone();
        malformed[field] = value;
        expect_ok_false(&mut client, &malformed).await;
        malformed.as_object_mut().expect("an object").remove(field);
        expect_ok_false(&mut client, &malformed).await;
    }
    client.expect_alive().await;
}

async fn expect_ok_false(client: &mut Client, malformed: &Value) {
    let answer = client.publish_json(malformed).await;
    assert!(answer.refused_as("invalid"), "for {malformed}: {answer:?}");
}

async fn answers_an_event_without_usable_id_with_a_notice(stage: &Stage) {
    let mut client = stage.client().await;
    let event = as_json(&note(&fresh_author(), "well made"));
    for id in [json!(null), json!("short"), json!(1), json!("zz".repeat(32)), json!("AB".repeat(32))] {
        let mut malformed = event.clone();
        malformed["id"] = id;
        let text = json!(["EVENT", malformed]).to_string();
        client.send_text(&text).await;
        assert_is_refusal(&client.receive().await, &text);
    }
    client.expect_alive().await;
}

async fn answers_a_binary_frame_with_a_notice(stage: &Stage) {
    let mut client = stage.client().await;
    let event = json!(["EVENT", as_json(&note(&fresh_author(), "in bytes"))]).to_string();
    for bytes in [vec![], vec![0, 159, 146, 150], event.into_bytes()] {
        client.send_message(Message::binary(bytes)).await;
        let answer = client.receive().await;
        assert!(matches!(answer, Frame::Notice(_)), "{answer:?}");
        assert_is_refusal(&answer, "a binary frame");
    }
    client.expect_alive().await;
}

async fn survives_text_that_is_not_utf8(stage: &Stage) {
    let server = stage.hello_world();
    for wrong in [b"[\"CLOSE\",\"\xff\"]".as_slice(), b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"] {
        let mut client = Client::connect(&server.url()).await;
        client.send_fragments(&[wrong]).await;
        // RFC 6455 (8.1) makes the endpoint fail the connection; a relay behind a lenient one answers.
        match client.receive_within(openagents_tests::wire::PATIENCE).await {
            None => {}
            Some(answer) => {
                assert_is_refusal(&answer, "text that is not UTF-8");
                client.expect_alive().await;
            }
        }
        Client::connect(&server.url()).await.expect_alive().await;
    }
}

async fn survives_deep_nesting(stage: &Stage) {
    let mut client = stage.client().await;
    let depth = 50_000;
    let texts = [
        "[".repeat(depth),
        format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
        format!("[\"EVENT\",{}1{}]", "{\"a\":".repeat(depth / 5), "}".repeat(depth / 5)),
        format!("[\"REQ\",\"deep\",{}{}]", "[".repeat(depth), "]".repeat(depth)),
        format!("[\"REQ\",\"deep\",{{\"#t\":{}{}}}]", "[".repeat(depth), "]".repeat(depth)),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    expect_refusals(&mut client, &texts).await;
}

async fn survives_an_empty_message(stage: &Stage) {
    let mut client = stage.client().await;
    expect_refusals(&mut client, &["", " ", "\n"]).await;
}

async fn survives_a_thousand_wrong_messages_in_a_row(stage: &Stage) {
    let mut client = stage.client().await;
    for number in 0..1000 {
        client.send_text(&format!("[\"WRONG\",{number}")).await;
    }
    for _ in 0..1000 {
        assert_is_refusal(&client.receive().await, "a wrong message");
    }
    client.expect_alive().await;
}
