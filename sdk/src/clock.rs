//! Time, for shells and handlers; engines are told it.

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(crate) use openagents_host::native::now;
    pub(crate) use tokio::time::sleep;
}

#[cfg(target_arch = "wasm32")]
mod host {
    use std::time::Duration;

    pub(crate) use openagents_host::worker::now;

    pub(crate) async fn sleep(duration: Duration) {
        worker::Delay::from(duration).await;
    }
}

pub(crate) use host::{now, sleep};
