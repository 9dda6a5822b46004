//! Fuzzes client messages: they are parsed and checked without a panic, every rejection is a valid NIP-01 message in
//! JSON, and events and filters are objects.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openagents_host::Timestamp;
use openagents_host::nostr::message::{ClientMessage, ReconcileStep};
use openagents_relay::admission::gate;
use openagents_relay::{Admitted, Limits};
use serde_json::Value;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

/// Limits that short inputs can exceed.
fn tight() -> Limits {
    Limits {
        max_message_length: 512,
        max_event_tags: 2,
        max_content_length: 8,
        max_filters: 2,
        created_at_lower_limit: Some(1_000),
        ..Limits::default()
    }
}

/// Derived deserialisation would also read an object from an array of its values.
fn check_objects(text: &str) {
    let Ok(message) = ClientMessage::parse(text) else { return };
    let elements: Vec<Value> = serde_json::from_str(text).expect("a message is a JSON array");
    let objects = match message {
        ClientMessage::Event(_) | ClientMessage::Auth(_) => 1..2,
        ClientMessage::Request { .. } | ClientMessage::Count { .. } => 2..elements.len(),
        ClientMessage::Reconcile { step: ReconcileStep::Open { .. }, .. } => 2..3,
        _ => 0..0,
    };
    assert!(elements[objects].iter().all(Value::is_object), "{text}");
}

fuzz_target!(|text: &str| {
    check_objects(text);
    for limits in [Limits::default(), tight()] {
        let admitted = gate::admit(text, &limits, NOW, |_| Ok(()), |_| Ok(()));
        if let Err(answer) = admitted.and_then(Admitted::verify) {
            let json = answer.to_json();
            let elements: Vec<Value> = serde_json::from_str(&json).expect("an answer is a JSON array");
            let verb = elements.first().and_then(Value::as_str).expect("with a verb");
            let (length, reason) = match verb {
                "OK" => (4, 3),
                "CLOSED" | "NEG-ERR" => (3, 2),
                "NOTICE" => (2, 1),
                other => panic!("{other} is no refusal: {json}"),
            };
            assert_eq!(elements.len(), length, "{json}");
            let reason = elements[reason].as_str().expect("with a reason");
            let (prefix, rest) = reason.split_once(": ").expect("with a prefix");
            assert!(["invalid", "unsupported", "restricted", "error"].contains(&prefix), "{json}");
            assert!(!rest.is_empty() && json.len() < 2_048 + 12 * text.len(), "{json}");
        }
    }
});
