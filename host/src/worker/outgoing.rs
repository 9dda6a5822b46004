//! Reaching out from a Worker, by the runtime's `fetch`.
//!
//! The runtime resolves names itself and has no way into a private network, so there is no address to check after the
//! URL's.

mod exchange;
mod socket;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use ::worker::{AbortController, AbortSignal, Delay, Fetch, Request, Response};
use futures_util::future::{Either, select};

pub(crate) use exchange::{Body, exchange};
pub(crate) use socket::Socket;

/// The runtime counts a timer in 32-bit milliseconds: 24 days.
const LONGEST_TIMER: Duration = Duration::from_millis(0x7fff_ffff);

/// What `future` comes to, or `None` when it takes longer.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), Delay::from(limit.min(LONGEST_TIMER))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// Ends a request when it is dropped: without it, the runtime would go on with what nobody waits for.
struct Abort(Option<AbortController>);

impl Abort {
    /// Sends a request that ends with the returned guard.
    async fn send(request: Request) -> ::worker::Result<(Response, Self)> {
        let controller = AbortController::default();
        let signal: AbortSignal = controller.signal();
        let abort = Self(Some(controller));
        let response = Fetch::Request(request).send_with_signal(&signal).await?;
        Ok((response, abort))
    }

    /// Lets the request go on by itself.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Abort {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}
