//! A WebSocket client for text messages.

use std::time::Duration;

use super::address::{Reach, public_url};
use super::error::SocketError;
use super::platform::{self, timeout};

const SCHEMES: [&str; 2] = ["wss", "ws"];

/// A WebSocket to a server. Dropping it ends the connection; [`close`](Self::close) sends a close frame first.
///
/// Only text messages are supported; binary ones are ignored. Pings are answered while [`next`](Self::next) is
/// awaited.
pub struct Socket {
    pub(crate) socket: platform::Socket,
    pub(crate) timeout: Duration,
}

impl Socket {
    /// Connects to a `wss:` URL, or to a `ws:` URL under [`Reach::Anywhere`]. Redirects are not followed.
    ///
    /// `limit` is the time limit for connecting, and later for sending each message.
    ///
    /// # Errors
    /// When the address may not be reached, or no WebSocket can be opened in time.
    pub async fn connect(url: &str, reach: Reach, limit: Duration) -> Result<Self, SocketError> {
        let url = public_url(url, &SCHEMES, reach)?;
        match timeout(limit, platform::Socket::connect(&url, reach)).await {
            Some(socket) => Ok(Self { socket: socket?, timeout: limit }),
            None => Err(SocketError::Timeout { after: limit }),
        }
    }

    /// A WebSocket over a connection on which both sides agree already, for example in memory.
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn over(
        connection: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let socket = platform::Socket::over(Box::new(connection)).await;
        Self { socket, timeout: Duration::from_secs(10) }
    }

    /// Wraps a WebSocket that is not yet accepted: one from the response of a stub or a service binding to an upgrade
    /// request.
    ///
    /// # Errors
    /// When the runtime refuses, for example because the socket is already in use.
    #[cfg(target_arch = "wasm32")]
    pub fn from_worker(socket: ::worker::WebSocket) -> Result<Self, SocketError> {
        Ok(Self { socket: platform::Socket::accept(socket)?, timeout: Duration::from_secs(10) })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the socket has ended, or the peer does not accept the message in time, which ends the socket.
    pub async fn send(&mut self, text: String) -> Result<(), SocketError> {
        let after = self.timeout;
        match timeout(after, self.socket.send(text)).await {
            Some(sent) => sent,
            None => {
                self.socket.abandon();
                Err(SocketError::Timeout { after })
            }
        }
    }

    /// The next message; `None` when the socket has ended. Waits indefinitely.
    ///
    /// After an error, the socket has ended. To stop waiting, drop the future: no message is lost.
    pub async fn next(&mut self) -> Option<Result<String, SocketError>> {
        self.socket.next().await
    }

    /// Ends the connection immediately.
    pub(crate) fn abandon(&mut self) {
        self.socket.abandon();
    }

    /// Sends a close frame and briefly waits for the answer.
    pub async fn close(mut self) {
        timeout(self.timeout.min(Duration::from_secs(2)), self.socket.close()).await;
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
