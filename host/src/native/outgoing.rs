//! Reaching out natively: tokio, rustls, hyper and tungstenite.

mod dial;
mod exchange;
mod socket;

use std::future::Future;
use std::time::Duration;

pub(crate) use exchange::{Body, exchange};
pub(crate) use socket::Socket;

/// What `future` comes to, or `None` when it takes longer.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}
