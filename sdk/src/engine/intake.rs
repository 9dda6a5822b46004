//! Job requests and cancellations on arrival: reading, decrypting, admitting, cancelling.

pub(super) mod admission;
pub(super) mod cancellation;
pub(super) mod requests;

/// How far in the future a request's `created_at` may be.
const MAX_CLOCK_SKEW: std::time::Duration = std::time::Duration::from_secs(15 * 60);
