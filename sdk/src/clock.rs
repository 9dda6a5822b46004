//! Time, sleeping and spawning, on either host.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

/// What the work gives, if it does so in time.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(sleep(limit))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(crate) use openagents_host::native::now;
    pub(crate) use tokio::time::sleep;

    /// Lets something go on by itself.
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(work);
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use std::time::Duration;

    pub(crate) use openagents_host::worker::now;

    pub(crate) async fn sleep(duration: Duration) {
        worker::Delay::from(duration).await;
    }

    /// Lets something go on by itself, as long as the event of the runtime that it began in.
    pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
        worker::wasm_bindgen_futures::spawn_local(work);
    }
}

pub(crate) use host::{now, sleep, spawn};
