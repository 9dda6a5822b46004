//! A WebSocket of text messages, as a client.

use std::time::Duration;

use super::address::{AddressError, Reach, public_url};
use super::host;

const SCHEMES: [&str; 2] = ["wss", "ws"];

/// The largest message that is taken, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2_000_000;

/// Why a socket cannot be had or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The URL may not be reached.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The other side answers, but not as a WebSocket.
    #[error("expected a WebSocket, the server answered with HTTP status {status}")]
    Refused {
        /// Its HTTP status.
        status: u16,
    },
    /// It was not connected, or a message was not taken, in time.
    #[error("no progress on the WebSocket within {after:?}")]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// A message, or what has come in and was not yet read, is larger than the limit.
    #[error("the other side sent more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The socket has ended.
    #[error("the WebSocket is closed")]
    Closed,
    /// The connection could not be made, or did not hold.
    #[error("the WebSocket failed: {0}")]
    Network(String),
}

/// A WebSocket to a server. Dropping it ends the connection; [`close`](Self::close) does so politely.
///
/// It carries text: binary messages are passed over. Pings are answered while [`next`](Self::next) is awaited.
pub struct Socket {
    pub(crate) socket: host::Socket,
    pub(crate) timeout: Duration,
}

impl Socket {
    /// Connects to a `wss:` URL, or under [`Reach::Anywhere`] to a `ws:` one. Redirects are not followed.
    ///
    /// `timeout` is for connecting, and later for each message that is sent.
    ///
    /// # Errors
    /// When the address may not be reached, or there is no WebSocket within the time.
    pub async fn connect(url: &str, reach: Reach, timeout: Duration) -> Result<Self, SocketError> {
        let url = public_url(url, &SCHEMES, reach)?;
        match host::within(timeout, host::Socket::connect(&url, reach)).await {
            Some(socket) => Ok(Self { socket: socket?, timeout }),
            None => Err(SocketError::Timeout { after: timeout }),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the socket has ended, or the other side does not take the message in time; it has ended then.
    pub async fn send(&mut self, text: String) -> Result<(), SocketError> {
        let after = self.timeout;
        match host::within(after, self.socket.send(text)).await {
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
        host::within(self.timeout.min(Duration::from_secs(2)), self.socket.close()).await;
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
