//! HTTP and WebSocket clients of a Worker, with the runtime's `fetch`.
//!
//! The runtime resolves names itself and cannot reach private networks, so only the URL needs to be checked.

mod exchange;
mod socket;

use ::worker::{AbortController, AbortSignal, Fetch, Request, Response};

pub(crate) use exchange::exchange;
pub(crate) use socket::Socket;

pub(crate) use crate::worker::{now, timeout};

use std::time::Duration;

use crate::time::Timestamp;

/// A point in time, by the runtime's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(Timestamp);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.until(now())
    }
}

/// Aborts a request when dropped. Otherwise the runtime would continue it although nobody awaits it.
struct AbortOnDrop(Option<AbortController>);

impl AbortOnDrop {
    /// Sends a request; dropping the returned guard aborts it.
    async fn send(request: Request) -> ::worker::Result<(Response, Self)> {
        let controller = AbortController::default();
        let signal: AbortSignal = controller.signal();
        let abort = Self(Some(controller));
        let response = Fetch::Request(request).send_with_signal(&signal).await?;
        Ok((response, abort))
    }

    /// Lets the request continue without the guard.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}
