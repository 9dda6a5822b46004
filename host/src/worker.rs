//! The Cloudflare host: a Durable Object's database, clock and alarm, and its calls to other objects.

mod address;
pub mod http;
mod object;
pub mod rpc;
mod sql;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use ::worker::Delay;
use futures_util::future::{Either, select};

pub use address::ObjectAddress;
pub use object::{ObjectHost, RingingAlarm};
pub use sql::{BilledRows, DurableSql};

use crate::time::Timestamp;

/// The runtime's clock. In production it stands still while code runs, and advances with I/O.
#[must_use]
pub fn now() -> Timestamp {
    // The runtime's time is never before 1970 or after 2^53.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the runtime's clock counts whole milliseconds"
    )]
    Timestamp::from_millis(::worker::js_sys::Date::now() as u64)
}

/// The longest timer: the runtime counts milliseconds in 32 bits, which is 24 days.
const MAX_TIMER: Duration = Duration::from_millis(0x7fff_ffff);

/// The output of `future`, or `None` if it takes longer than `limit`.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), Delay::from(limit.min(MAX_TIMER))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// The maximum delay of an alarm. Events can name times that a JavaScript date cannot represent.
const MAX_ALARM_DELAY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Sets the object's alarm to `at`, but at most 30 days ahead: an alarm that fires early finds nothing due and is set
/// again. `None` removes it.
///
/// # Errors
/// When the runtime refuses.
async fn set_alarm(storage: &::worker::Storage, at: Option<Timestamp>) -> ::worker::Result<()> {
    match at {
        // An offset of zero is refused; a time in the past means immediately.
        Some(at) => storage.set_alarm(now().until(at).clamp(Duration::from_millis(1), MAX_ALARM_DELAY)).await,
        None => storage.delete_alarm().await,
    }
}
