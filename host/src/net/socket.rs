//! A WebSocket of text messages, as a client.

use std::time::Duration;

use super::address::{Reach, public_url};
use super::error::SocketError;
use super::platform::{self, timeout};

const SCHEMES: [&str; 2] = ["wss", "ws"];

/// A WebSocket to a server. Dropping it ends the connection; [`close`](Self::close) does so politely.
///
/// It carries text: binary messages are passed over. Pings are answered while [`next`](Self::next) is awaited.
pub struct Socket {
    pub(crate) socket: platform::Socket,
    pub(crate) timeout: Duration,
}

impl Socket {
    /// Connects to a `wss:` URL, or under [`Reach::Anywhere`] to a `ws:` one. Redirects are not followed.
    ///
    /// `limit` is the time for connecting, and later for each message that is sent.
    ///
    /// # Errors
    /// When the address may not be reached, or there is no WebSocket within the time.
    pub async fn connect(url: &str, reach: Reach, limit: Duration) -> Result<Self, SocketError> {
        let url = public_url(url, &SCHEMES, reach)?;
        match timeout(limit, platform::Socket::connect(&url, reach)).await {
            Some(socket) => Ok(Self { socket: socket?, timeout: limit }),
            None => Err(SocketError::Timeout { after: limit }),
        }
    }

    /// Takes over a WebSocket that is not yet accepted: the one in a stub's or a service's response to an upgrade.
    ///
    /// # Errors
    /// When the runtime refuses, as it does for a socket that is already in use.
    #[cfg(target_arch = "wasm32")]
    pub fn from_worker(socket: ::worker::WebSocket) -> Result<Self, SocketError> {
        Ok(Self { socket: platform::Socket::accept(socket)?, timeout: Duration::from_secs(10) })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the socket has ended, or the other side does not take the message in time; it has ended then.
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

    /// The next message; `None` when the socket has ended. It waits as long as it takes.
    ///
    /// An error ends the socket. To stop waiting, drop the future: no message is lost.
    pub async fn next(&mut self) -> Option<Result<String, SocketError>> {
        self.socket.next().await
    }

    /// Ends the connection at once.
    pub(crate) fn abandon(&mut self) {
        self.socket.abandon();
    }

    /// Says goodbye and waits shortly for the answer.
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
