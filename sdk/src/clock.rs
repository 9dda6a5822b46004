//! Time, sleeping and spawning, on either host.

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(crate) use tokio::time::sleep;

    /// Runs a task in the background.
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(work);
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use std::time::Duration;

    pub(crate) async fn sleep(duration: Duration) {
        worker::Delay::from(duration).await;
    }

    /// Runs a task in the background, for as long as the Workers event in which it was spawned.
    pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
        worker::wasm_bindgen_futures::spawn_local(work);
    }
}

pub(crate) use host::{sleep, spawn};
pub(crate) use openagents_host::now;
