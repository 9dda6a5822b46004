//! The Cloudflare host: a Durable Object's SQL, clock and alarm.

pub mod http;
pub(crate) mod outgoing;
mod sql;

use std::time::Duration;

pub use sql::{BilledRows, DurableSql};

use crate::time::Timestamp;

/// The runtime's clock. In production it stands still while code runs and moves on with I/O.
#[must_use]
pub fn now() -> Timestamp {
    // No instant before 1970 and none after 2^53 can be told.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the runtime's clock counts whole milliseconds"
    )]
    Timestamp::from_millis(::worker::js_sys::Date::now() as u64)
}

/// The farthest off that an alarm is set. A JavaScript date cannot tell every instant that an event can name.
const FARTHEST_ALARM: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Sets the object's one alarm to `at`, but at most 30 days ahead: an alarm that comes early finds nothing due, and has to
/// be set again. With `None`, removes it.
///
/// # Errors
/// When the runtime refuses.
pub async fn set_alarm(storage: &::worker::Storage, at: Option<Timestamp>) -> ::worker::Result<()> {
    match at {
        // An offset of zero is refused; the past means at once.
        Some(at) => storage.set_alarm(now().until(at).clamp(Duration::from_millis(1), FARTHEST_ALARM)).await,
        None => storage.delete_alarm().await,
    }
}
