//! NIP-90 on the wire: the only place that knows the positions of its tags.
//!
//! A customer's request (kind 5000–5999) is answered with feedback (kind 7000) and one result (request kind + 1000), and
//! can be cancelled (NIP-09). Reading is lenient, as clients write these events in many ways; writing follows the text.
//!
//! Nothing is encrypted here: where NIP-90 encrypts, this module says which text is to be encrypted and takes the decrypted one.

mod amount;
mod answer;
mod builder;
mod cancellation;
mod feedback;
mod input;
mod param_map;
mod request;
mod result;
mod sealed;

pub use amount::Amount;
pub use builder::RequestBuilder;
pub use cancellation::{Cancellation, DELETION};
pub use feedback::{Feedback, FeedbackBuilder, Status};
pub use input::{InputKind, JobInput};
pub use param_map::ParamMap;
pub use request::{JobRequest, NotAJobRequest};
pub use result::{JobResultEvent, ResultBuilder, result_kind};
pub use sealed::SealedError;

use openagents_host::nostr::Kind;

/// The kind of feedback events.
pub const FEEDBACK: Kind = Kind(7000);

/// The kinds of job requests.
pub const REQUESTS: std::ops::RangeInclusive<u16> = 5000..=5999;

#[cfg(test)]
mod tests;
