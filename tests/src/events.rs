//! Events as a client makes them: signed with the independent `nostr` crate.

use nostr_sdk::nostr::{Event, EventBuilder, Keys, Kind, Tag, Timestamp};
use serde_json::Value;

/// A customer, author or stranger that nobody has met before.
pub fn fresh_author() -> Keys {
    Keys::generate()
}

/// The present second.
pub fn now() -> u64 {
    Timestamp::now().as_secs()
}

/// A signed event of this moment.
pub fn event(author: &Keys, kind: u16, tags: &[&[&str]], content: &str) -> Event {
    event_at(author, now(), kind, tags, content)
}

/// A signed event of the given second.
pub fn event_at(author: &Keys, created_at: u64, kind: u16, tags: &[&[&str]], content: &str) -> Event {
    let tags = tags.iter().map(|tag| Tag::parse(tag.iter().copied()).expect("a tag with a name"));
    EventBuilder::new(Kind::from(kind), content)
        .tags(tags)
        .custom_created_at(Timestamp::from(created_at))
        .sign_with_keys(author)
        .expect("signing cannot fail")
}

/// A short text note with a content no other event has.
pub fn note(author: &Keys, content: &str) -> Event {
    event(author, 1, &[], content)
}

/// What identifies its author to a relay (NIP-42).
pub fn identification(author: &Keys, relay: &str, challenge: &str) -> Event {
    event(author, 22_242, &[&["relay", relay], &["challenge", challenge]], "")
}

/// The event as the JSON object it is on the wire, to be bent out of shape by a test.
pub fn as_json(event: &Event) -> Value {
    serde_json::to_value(event).expect("an event is JSON")
}

/// Reads an event and checks its id and its signature; anything less fails the test.
pub fn verified(json: &Value) -> Event {
    let event: Event = serde_json::from_value(json.clone())
        .unwrap_or_else(|error| panic!("not a Nostr event ({error}): {json}"));
    event.verify().unwrap_or_else(|error| panic!("an event that does not verify ({error}): {json}"));
    event
}

/// The tags with the given name, each as its list of strings.
pub fn tags<'a>(event: &'a Event, name: &str) -> Vec<&'a [String]> {
    event
        .tags
        .iter()
        .map(Tag::as_slice)
        .filter(|tag| tag.first().is_some_and(|first| first == name))
        .collect()
}

/// The second element of the only tag with this name.
pub fn tag_value(event: &Event, name: &str) -> Option<String> {
    match tags(event, name).as_slice() {
        [tag] => tag.get(1).cloned(),
        _ => None,
    }
}
