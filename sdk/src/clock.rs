//! Pauses, on either host.

#[cfg(not(target_arch = "wasm32"))]
mod host {
    pub(crate) use tokio::time::sleep;
}

#[cfg(target_arch = "wasm32")]
mod host {
    use std::time::Duration;

    pub(crate) async fn sleep(duration: Duration) {
        worker::Delay::from(duration).await;
    }
}

pub(crate) use host::sleep;
