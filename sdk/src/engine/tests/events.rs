//! Test keys and events: requests, results, cancellations.

use openagents_host::{EventId, Keys, Kind, UnsignedEvent, VerifiedEvent};

use super::bench::START;

pub(super) fn agent() -> Keys {
    Keys::from_secret(&[4; 32]).unwrap()
}

pub(super) fn customer() -> Keys {
    Keys::from_secret(&[3; 32]).unwrap()
}

pub(super) fn stranger() -> Keys {
    Keys::from_secret(&[5; 32]).unwrap()
}

/// A request of the customer; each number makes a different event.
pub(super) fn request(kind: u16, number: u64) -> VerifiedEvent {
    tagged(kind, number, &[])
}

pub(super) fn tagged(kind: u16, number: u64, tags: &[&[&str]]) -> VerifiedEvent {
    let tags = tags.iter().map(|tag| tag.iter().map(|word| (*word).to_owned()).collect());
    UnsignedEvent::new(Kind(kind), "")
        .tag(["i", &number.to_string(), "text"])
        .tags(tags)
        .sign(&customer(), START)
}

/// A request with other jobs as inputs.
pub(super) fn chained(kind: u16, number: u64, upstream: &[EventId]) -> VerifiedEvent {
    let tags = upstream.iter().map(|id| vec!["i".to_owned(), id.to_hex(), "job".to_owned()]);
    UnsignedEvent::new(Kind(kind), "")
        .tag(["i", &number.to_string(), "text"])
        .tags(tags)
        .sign(&customer(), START)
}

/// A request by this customer.
pub(super) fn stranger_request() -> VerifiedEvent {
    UnsignedEvent::new(Kind(5_300), "").tag(["i", "a", "text"]).sign(&stranger(), START)
}

/// A result by a provider.
pub(super) fn result_of(request: &VerifiedEvent, provider: &Keys, content: &str) -> VerifiedEvent {
    UnsignedEvent::new(Kind(request.kind.0 + 1_000), content)
        .tag(["e", &request.id.to_hex()])
        .tag(["p", &request.pubkey.to_hex()])
        .tag(["request", request.json()])
        .sign(provider, START)
}
