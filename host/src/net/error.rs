//! Why an HTTP request or a WebSocket failed.

use std::time::Duration;

use super::address::AddressError;

/// The largest message that a WebSocket takes, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2_000_000;

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The URL, or one that it redirects to, may not be reached.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A header that is malformed, or that the caller may not set.
    #[error("the header `{name}` cannot be sent")]
    Header {
        /// The header's name.
        name: String,
    },
    /// There were too many redirects.
    #[error("more than {limit} redirects")]
    Redirects {
        /// How many redirects are followed.
        limit: usize,
    },
    /// The body is larger than the limit.
    #[error("the response is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// It was not done in time.
    #[error("no complete response within {after:?}")]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The connection could not be made, or did not hold.
    #[error("the request failed: {0}")]
    Network(String),
}

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
