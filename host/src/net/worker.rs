//! HTTP and WebSocket clients of a Worker, by the runtime's `fetch`.
//!
//! The runtime resolves names itself and has no way into a private network, so there is no address to check after the
//! URL's.

mod exchange;
mod socket;

use ::worker::{AbortController, AbortSignal, Fetch, Request, Response};

pub(crate) use exchange::{Body, exchange};
pub(crate) use socket::Socket;

pub(crate) use crate::worker::{now, timeout};

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
