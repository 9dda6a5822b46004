//! Test events, signed with the independent `nostr` crate.

use nostr_sdk::nostr::{Event, EventBuilder, Keys, Kind, Tag, Timestamp};
use serde_json::Value;

/// New keys: a customer, author or stranger.
pub fn fresh_author() -> Keys {
    Keys::generate()
}

/// The current time, in seconds.
pub fn now() -> u64 {
    Timestamp::now().as_secs()
}

/// A signed event with the current time.
pub fn event(author: &Keys, kind: u16, tags: &[&[&str]], content: &str) -> Event {
    event_at(author, now(), kind, tags, content)
}

/// A signed event with this time.
pub fn event_at(author: &Keys, created_at: u64, kind: u16, tags: &[&[&str]], content: &str) -> Event {
    let tags = tags.iter().map(|tag| Tag::parse(tag.iter().copied()).expect("a tag with a name"));
    EventBuilder::new(Kind::from(kind), content)
        .tags(tags)
        .custom_created_at(Timestamp::from(created_at))
        .sign_with_keys(author)
        .expect("signing cannot fail")
}

/// A short text note with unique content.
pub fn note(author: &Keys, content: &str) -> Event {
    event(author, 1, &[], content)
}

/// The event that authenticates its author to a relay (NIP-42).
pub fn identification(author: &Keys, relay: &str, challenge: &str) -> Event {
    event(author, 22_242, &[&["relay", relay], &["challenge", challenge]], "")
}

/// The event as a JSON object, for tests that modify it.
pub fn as_json(event: &Event) -> Value {
    serde_json::to_value(event).expect("an event is JSON")
}

/// Parses an event and verifies its id and signature; anything else fails the test.
pub fn verified(json: &Value) -> Event {
    let event: Event = serde_json::from_value(json.clone())
        .unwrap_or_else(|error| panic!("not a Nostr event ({error}): {json}"));
    event.verify().unwrap_or_else(|error| panic!("an event that does not verify ({error}): {json}"));
    event
}

/// All tags with this name.
pub fn tags<'a>(event: &'a Event, name: &str) -> Vec<&'a [String]> {
    event
        .tags
        .iter()
        .map(Tag::as_slice)
        .filter(|tag| tag.first().is_some_and(|first| first == name))
        .collect()
}

/// The value of the only tag with this name.
pub fn tag_value(event: &Event, name: &str) -> Option<String> {
    match tags(event, name).as_slice() {
        [tag] => tag.get(1).cloned(),
        _ => None,
    }
}
