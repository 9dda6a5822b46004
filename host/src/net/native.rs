//! HTTP and WebSocket clients of a native process: tokio, rustls, hyper and tungstenite.

mod dial;
mod exchange;
mod socket;

pub(crate) use exchange::exchange;
pub(crate) use socket::Socket;

pub(crate) use crate::native::{now, timeout};
pub(crate) use tokio::time::Instant;
