//! NIP-90 on the wire: the only place that knows the positions of its tags.
//!
//! A customer's request (kind 5000–5999) is answered with feedback (kind 7000) and one result (request kind + 1000).

mod feedback;
mod request;
mod result;

pub use feedback::{Feedback, Status};
pub use request::{Input, InputKind, JobRequest, NotAJobRequest, RequestBuilder};
pub use result::{JobResultEvent, result_kind};

use openagents_host::event::{Event, Kind, Tag};

/// The kind of feedback events.
pub const FEEDBACK: Kind = Kind(7000);

/// The kinds of job requests.
pub const REQUESTS: std::ops::RangeInclusive<u16> = 5000..=5999;

/// The tags by which an answer refers to its request: `e` and `p`.
fn reference(request: &Event) -> [Tag; 2] {
    [vec!["e".into(), request.id.to_hex()], vec!["p".into(), request.pubkey.to_hex()]]
}

/// The request that an answer refers to: the first `e` tag that is an event id.
fn referred(answer: &Event) -> Option<openagents_host::EventId> {
    answer.tag_values("e").find_map(|id| openagents_host::EventId::from_hex(id).ok())
}

#[cfg(test)]
mod tests;
