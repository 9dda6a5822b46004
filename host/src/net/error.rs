//! Errors of HTTP requests and WebSockets.

use std::time::Duration;

use super::address::AddressError;

/// The largest message that a WebSocket accepts, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2_000_000;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL, or one that it redirects to, may not be reached.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A header is malformed, or one that the caller may not set.
    #[error("the header `{name}` cannot be sent")]
    Header {
        /// The name of the header.
        name: String,
    },
    /// There were too many redirects.
    #[error("more than {limit} redirects")]
    Redirects {
        /// The maximum number of redirects.
        limit: usize,
    },
    /// The body is larger than the limit.
    #[error("the response is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The response was not complete in time.
    #[error("no complete response within {after:?}")]
    Timeout {
        /// The time limit.
        after: Duration,
    },
    /// The connection failed.
    #[error("the request failed: {0}")]
    Network(String),
}

/// Why a WebSocket could not be opened or has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The URL may not be reached.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The server did not accept the WebSocket.
    #[error("expected a WebSocket, the server answered with HTTP status {status}")]
    Refused {
        /// The HTTP status of its response.
        status: u16,
    },
    /// Connecting, or sending a message, took too long.
    #[error("no progress on the WebSocket within {after:?}")]
    Timeout {
        /// The time limit.
        after: Duration,
    },
    /// A message is larger than the limit, or the unread messages together are.
    #[error("the other side sent more than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The socket is closed.
    #[error("the WebSocket is closed")]
    Closed,
    /// The connection failed.
    #[error("the WebSocket failed: {0}")]
    Network(String),
}
