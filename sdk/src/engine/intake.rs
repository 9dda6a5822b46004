//! How a request comes in: reading and decrypting it, taking it on, cancelling it.

pub(super) mod admission;
pub(super) mod cancellation;
pub(super) mod requests;

/// How far the clock of a customer may be ahead.
const MAX_CLOCK_SKEW: std::time::Duration = std::time::Duration::from_secs(15 * 60);
