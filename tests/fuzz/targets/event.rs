//! Fuzzes events: one that parses either verifies or is rejected, and a signed event with any content and tags is
//! read back unchanged from its own JSON.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use openagents_host::{Event, Keys, Kind, Timestamp, UnsignedEvent};

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::from_secret(&[1; 32]).expect("a key"));

fuzz_target!(|text: &str| {
    let is_object = || matches!(serde_json::from_str(text), Ok(serde_json::Value::Object(_)));
    let parsed = Event::from_json(text);
    assert!(parsed.is_err() || is_object(), "an event that is no object: {text}");
    match parsed.map(Event::verify) {
        Ok(Ok(verified)) => {
            let again = Event::from_json(verified.json()).expect("its JSON is an event's");
            assert_eq!(again, *verified);
            assert_eq!(again.verify().expect("and verifies").json(), verified.json());
        }
        Ok(Err(_)) | Err(_) => {}
    }
    // The input is the content and, split at line breaks, the tags.
    let event = text
        .lines()
        .take(8)
        .fold(UnsignedEvent::new(Kind(1), text), |event, line| event.tag(line.split('\t')))
        .sign(&KEYS, Timestamp::from_seconds(text.len() as u64));
    let read = Event::from_json(event.json()).expect("an event");
    assert_eq!(read, *event);
    assert_eq!(read.verify().expect("that verifies").json(), event.json());
});
