//! The tags that results and feedback have in common.

use openagents_host::nostr::{Event, EventId, PublicKey, Tag};

use super::JobRequest;

/// The tags by which clients tell what an answer is about, what it costs and how it is to be read.
const OWN: [&str; 7] = ["request", "e", "p", "i", "amount", "encrypted", "status"];

/// Whether a tag belongs to the protocol, so that a handler must not write it. So does a tag without a name: no event that
/// holds one is valid.
pub(super) fn is_own(tag: &Tag) -> bool {
    tag.first().is_none_or(|name| OWN.contains(&name.as_str()))
}

/// The tags by which an answer refers to its request: `e`, with the relay where the request can be found, and `p`.
pub(super) fn reference(request: &JobRequest, relay_hint: Option<String>) -> [Tag; 2] {
    let mut event = vec!["e".to_owned(), request.id().to_hex()];
    event.extend(relay_hint.filter(|relay| !relay.is_empty()));
    [event, vec!["p".to_owned(), request.customer().to_hex()]]
}

/// The request that an answer refers to: the first `e` tag that is an event id.
pub(super) fn referred(answer: &Event) -> Option<EventId> {
    answer.tag_values("e").find_map(|id| EventId::from_hex(id).ok())
}

/// The customer whom an answer is for: the first `p` tag that is a public key.
pub(super) fn customer(answer: &Event) -> Option<PublicKey> {
    answer.tag_values("p").find_map(|key| PublicKey::from_hex(key).ok())
}

/// The content of an answer, and whether it is encrypted. What answers an encrypted request never stands there in clear:
/// where nothing was encrypted, the content is empty.
pub(super) fn content(request: &JobRequest, clear: String, sealed: Option<String>) -> (String, bool) {
    match sealed {
        Some(ciphertext) => (ciphertext, true),
        None if request.encrypted => (String::new(), false),
        None => (clear, false),
    }
}
