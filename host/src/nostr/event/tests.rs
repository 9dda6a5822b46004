//! Tests of events: ids, signatures and JSON (NIP-01), compared with the `nostr` crate.

use nostr::prelude::Event as NostrEvent;
use proptest::prelude::*;

use super::{Event, EventId, Kind, Signature, UnsignedEvent, VerifiedEvent, VerifyError, serialisation};
use crate::nostr::keys::Keys;
use crate::time::Timestamp;

fn keys() -> Keys {
    Keys::from_secret(&[1; 32]).unwrap()
}

fn signed(content: &str) -> VerifiedEvent {
    UnsignedEvent::new(Kind(1), content)
        .tag(["t", content])
        .sign(&keys(), Timestamp::from_seconds(1_700_000_000))
}

fn reread(event: &VerifiedEvent) -> Event {
    Event::from_json(event.json()).unwrap()
}

proptest! {
    #[test]
    fn agrees_with_the_nostr_crate_on_any_text(content in any::<String>(), tag in any::<String>(), kind in any::<u16>(), time in 0..4_000_000_000u64) {
        let event = UnsignedEvent::new(Kind(kind), content).tag(["x", &tag]).sign(&keys(), Timestamp::from_seconds(time));
        serde_json::from_str::<NostrEvent>(event.json()).unwrap().verify().unwrap();
        let again = reread(&event).verify().unwrap();
        prop_assert_eq!(&again, &event);
        prop_assert_eq!(again.json(), event.json());
        prop_assert_eq!(&**event.json(), serde_json::to_string(&*again).unwrap());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Event::from_json(&text);
    }
}

#[test]
fn rejects_event_with_forged_id() {
    let mut event = reread(&signed("a"));
    let expected = event.id;
    event.id = EventId::from_bytes([3; 32]);
    assert_eq!(event.verify().unwrap_err(), VerifyError::Id { expected });
}

#[test]
fn rejects_event_with_forged_signature() {
    let mut event = reread(&signed("a"));
    event.sig = reread(&signed("b")).sig;
    assert_eq!(event.verify().unwrap_err(), VerifyError::Signature);
}

#[test]
fn events_that_are_verified_together_have_the_outcome_of_each() {
    let mut events: Vec<Event> =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|content| reread(&signed(content))).into();
    events[1].sig = reread(&signed("x")).sig;
    events[3].content.push('!');
    events[4].tags.push(Vec::new());
    events[7].id = EventId::from_bytes([3; 32]);
    let alone: Vec<_> = events.iter().cloned().map(Event::verify).collect();
    assert_eq!(alone.iter().filter(|outcome| outcome.is_ok()).count(), 6);
    assert_eq!(Event::verify_all(events), alone);
}

#[test]
fn rejects_event_whose_content_was_changed() {
    for change in [
        |event: &mut Event| event.content.push('!'),
        |event: &mut Event| event.tags.clear(),
        |event: &mut Event| event.kind = Kind(2),
        |event: &mut Event| event.created_at += 1,
        |event: &mut Event| event.pubkey = Keys::from_secret(&[2; 32]).unwrap().public_key(),
    ] {
        let mut event = reread(&signed("a"));
        change(&mut event);
        assert!(matches!(event.verify(), Err(VerifyError::Id { .. })));
    }
}

#[test]
fn rejects_times_that_a_host_would_round() {
    let mut event = reread(&signed("a"));
    event.created_at = u64::MAX;
    assert_eq!(event.verify().unwrap_err(), VerifyError::CreatedAt);
}

#[test]
fn takes_control_characters_hashed_as_nip01_writes_them_and_as_clients_do() {
    let as_clients_do = signed("bell \u{7} tab \t");
    assert!(reread(&as_clients_do).verify().is_ok());

    let mut as_written = reread(&as_clients_do);
    as_written.id = serialisation::verbatim_id(&as_written);
    assert_ne!(as_written.id, as_clients_do.id);
    as_written.sig = keys().sign(as_written.id.as_bytes());
    assert!(as_written.verify().is_ok());
}

#[test]
fn reads_only_the_form_of_nip01() {
    let good = signed("a");
    let json: serde_json::Value = serde_json::from_str(good.json()).unwrap();
    for (field, value) in [
        ("id", serde_json::json!(good.id.to_hex().to_uppercase())),
        ("id", serde_json::json!("abcd")),
        ("sig", serde_json::json!(Signature::from_bytes([0; 64]).to_hex() + "00")),
        ("created_at", serde_json::json!(-1)),
        ("created_at", serde_json::json!(1.5)),
        ("kind", serde_json::json!(65_536)),
        ("kind", serde_json::json!("1")),
        ("tags", serde_json::json!([["a", null]])),
        ("tags", serde_json::json!({})),
        ("content", serde_json::json!(null)),
    ] {
        let mut json = json.clone();
        json[field] = value;
        assert!(Event::from_json(&json.to_string()).is_err(), "{field}");
        json.as_object_mut().unwrap().remove(field);
        assert!(Event::from_json(&json.to_string()).is_err(), "without {field}");
    }
    let twice = good.json().replacen('{', "{\"kind\":1,", 1);
    assert!(Event::from_json(&twice).is_err(), "a field that is given twice");
    let fields = ["id", "pubkey", "created_at", "kind", "tags", "content", "sig"];
    let values: Vec<_> = fields.iter().map(|field| &json[field]).collect();
    assert!(Event::from_json(&serde_json::json!(values).to_string()).is_err(), "the values without names");
}

#[test]
fn refuses_a_tag_without_a_name() {
    let event = UnsignedEvent::new(Kind(1), "").tags([vec![]]).sign(&keys(), Timestamp::EPOCH);
    assert_eq!(reread(&event).verify().unwrap_err(), VerifyError::EmptyTag);
}
