//! The NIP-90 events: job requests, results and feedback. No other module knows the positions of their tags.
//!
//! A job request (kind 5000–5999) is answered with feedback (kind 7000) and one result (request kind + 1000), and can
//! be cancelled (NIP-09). Reading is lenient, since clients write these events in many ways; writing follows the
//! specification.
//!
//! This module does no encryption itself. Where NIP-90 encrypts, it returns the plaintext to encrypt and accepts the
//! decrypted one.

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

/// The kind of job feedback.
pub const FEEDBACK: Kind = Kind(7000);

/// The kinds of job requests.
pub const REQUESTS: std::ops::RangeInclusive<u16> = 5000..=5999;

/// The kinds of job results.
pub(crate) const RESULTS: std::ops::RangeInclusive<u16> = 6000..=6999;

#[cfg(test)]
mod tests;
