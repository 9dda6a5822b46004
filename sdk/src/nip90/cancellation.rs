//! `Cancellation`: a deletion request (NIP-09) for job requests.

use openagents_host::nostr::{EventId, Kind, PublicKey, UnsignedEvent, VerifiedEvent};

use super::{JobRequest, REQUESTS};

/// The kind of deletion requests (NIP-09).
pub const DELETION: Kind = Kind(5);

/// How many requests one event can cancel; further ones are ignored.
const MAX_REQUESTS: usize = 100;

/// A deletion request that may cancel jobs. [`cancels`](Self::cancels) checks whether a job request is by the same
/// author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// The author of the deletion request.
    pub author: PublicKey,
    /// The event ids in its `e` tags, which may be job requests: 1 to 100.
    pub requests: Vec<EventId>,
    /// The reason, from the content.
    pub reason: Option<String>,
}

impl Cancellation {
    /// An event that cancels a job request of this kind, to be signed with the same key as the request.
    #[must_use]
    pub fn event(request: &EventId, kind: Kind, reason: Option<&str>) -> UnsignedEvent {
        UnsignedEvent::new(DELETION, reason.unwrap_or_default())
            .tag(["e", &request.to_hex()])
            .tag(["k", &kind.to_string()])
    }

    /// Reads a cancellation. `None` if the event is not a deletion request, names no event, or has `k` tags and none
    /// of them is a job request kind.
    #[must_use]
    pub fn from_event(event: &VerifiedEvent) -> Option<Self> {
        if event.kind != DELETION {
            return None;
        }
        let mut kinds = event.tag_values("k").peekable();
        let is_request = |kind: &str| kind.trim().parse().is_ok_and(|kind: u16| REQUESTS.contains(&kind));
        if kinds.peek().is_some() && !kinds.any(is_request) {
            return None;
        }
        let mut requests: Vec<EventId> = Vec::new();
        for id in event.tag_values("e").filter_map(|id| EventId::from_hex(id).ok()) {
            if requests.len() < MAX_REQUESTS && !requests.contains(&id) {
                requests.push(id);
            }
        }
        let reason = Some(event.content.clone()).filter(|reason| !reason.is_empty());
        (!requests.is_empty()).then_some(Self { author: event.pubkey, requests, reason })
    }

    /// Whether it cancels this job request: it names its id and has the same author (NIP-09).
    #[must_use]
    pub fn cancels(&self, request: &JobRequest) -> bool {
        self.author == request.customer() && self.requests.contains(&request.id())
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Kind};

    use super::Cancellation;
    use crate::nip90::tests::{customer, provider, request, sign, signed};

    fn read(kind: u16, tags: &[&[&str]]) -> Option<Cancellation> {
        Cancellation::from_event(&signed(&customer(), kind, "", tags))
    }

    #[test]
    fn writes_what_nip09_asks_for() {
        let request = request(&[]);
        let event =
            sign(Cancellation::event(&request.id(), request.kind(), Some("changed my mind")), &customer());
        assert_eq!((event.kind, event.content.as_str()), (Kind(5), "changed my mind"));
        assert_eq!(event.tags, [["e", &request.id().to_hex()], ["k", "5050"]]);
    }

    #[test]
    fn cancels_only_requests_of_its_author() {
        let request = request(&[]);
        let event = Cancellation::event(&request.id(), request.kind(), None);
        let of = |keys: Keys| Cancellation::from_event(&sign(event.clone(), &keys)).unwrap();
        assert!(of(customer()).cancels(&request));
        assert!(!of(provider()).cancels(&request));
        let other = read(5, &[&["e", &"ab".repeat(32)]]).unwrap();
        assert!(!other.cancels(&request));
    }

    #[test]
    fn heeds_the_kinds_that_are_deleted_if_they_are_named() {
        let id = "ab".repeat(32);
        let event: &[&str] = &["e", &id];
        assert!(read(5, &[event]).is_some());
        assert!(read(5, &[event, &["k", "1"]]).is_none());
        assert!(read(5, &[event, &["k", "6050"]]).is_none());
        assert!(read(5, &[event, &["k", "all"]]).is_none());
        assert!(read(5, &[event, &["k", "1"], &["k", "5999"]]).is_some());
    }

    #[test]
    fn is_nothing_without_an_event_to_cancel() {
        assert!(read(5, &[]).is_none());
        assert!(read(5, &[&["e", "not an id"], &["e"]]).is_none());
        assert!(read(1, &[&["e", &"ab".repeat(32)]]).is_none());
    }

    #[test]
    fn takes_each_of_the_first_hundred_requests_once() {
        let ids: Vec<String> = (0..150_u8).map(|byte| format!("{byte:02x}").repeat(32)).collect();
        let tags: Vec<Vec<&str>> = ids.iter().flat_map(|id| [vec!["e", id], vec!["e", id]]).collect();
        let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
        let read = read(5, &tags).unwrap().requests;
        assert_eq!(read.iter().map(|id| id.to_hex()).collect::<Vec<_>>(), ids[..100]);
    }
}
