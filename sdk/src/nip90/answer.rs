//! The tags that results and feedback share.

use openagents_host::nostr::{Event, EventId, PublicKey, Tag};

use super::JobRequest;

/// The tags that say what an answer is about, what it costs and how to read it.
const OWN: [&str; 7] = ["request", "e", "p", "i", "amount", "encrypted", "status"];

/// Whether a tag belongs to the protocol, so that a handler must not write it. This includes tags without a name: an
/// event with one is invalid.
pub(super) fn is_own(tag: &Tag) -> bool {
    tag.first().is_none_or(|name| OWN.contains(&name.as_str()))
}

/// The tags that refer to the request: `e`, with a relay hint, and `p`.
pub(super) fn reference(request: &JobRequest, relay_hint: Option<String>) -> [Tag; 2] {
    let mut event = vec!["e".to_owned(), request.id().to_hex()];
    event.extend(relay_hint.filter(|relay| !relay.is_empty()));
    [event, vec!["p".to_owned(), request.customer().to_hex()]]
}

/// The id of the request that an answer refers to: the first `e` tag with a valid event id.
pub(super) fn referred(answer: &Event) -> Option<EventId> {
    answer.tag_values("e").find_map(|id| EventId::from_hex(id).ok())
}

/// The customer that an answer is for: the first `p` tag with a valid public key.
pub(super) fn customer(answer: &Event) -> Option<PublicKey> {
    answer.tag_values("p").find_map(|key| PublicKey::from_hex(key).ok())
}

/// The content of an answer, and whether it is encrypted. Plaintext never answers an encrypted request: without an
/// encrypted output, the content is empty.
pub(super) fn content(request: &JobRequest, clear: String, sealed: Option<String>) -> (String, bool) {
    match sealed {
        Some(ciphertext) => (ciphertext, true),
        None if request.encrypted => (String::new(), false),
        None => (clear, false),
    }
}
