//! Errors of HTTP requests and WebSockets.

use std::time::Duration;

use super::address::AddressError;

/// The largest message that a WebSocket accepts, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 2_000_000;

/// Why an HTTP request failed, or its response could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL, or one that it redirects to, may not be reached.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A header is malformed, or one that the caller may not set.
    #[error("the header `{name}` cannot be sent")]
    Header {
        /// The name of the header.
        name: String,
    },
    /// The request cannot be sent as it is.
    #[error("the request cannot be sent: {0}")]
    Request(String),
    /// There were too many redirects.
    #[error("more than {limit} redirects")]
    Redirects {
        /// The maximum number of redirects.
        limit: usize,
    },
    /// A redirect would send the body again, but a stream can be sent once.
    #[error("the server redirects a request whose body is a stream; send bytes, or to the final URL")]
    StreamRedirected,
    /// The body of the response is larger than the limit.
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
    /// The status is not a success, in a response that had to be one.
    #[error("the server answered with status {status}: {body}")]
    Status {
        /// The HTTP status, such as 404.
        status: u16,
        /// The beginning of the body, which often says what is wrong.
        body: String,
    },
    /// The response is of another type.
    #[error("expected a response of the type `{expected}`, found `{found}`")]
    ContentType {
        /// The type that was needed.
        expected: &'static str,
        /// The header `content-type`; empty if there is none.
        found: String,
    },
    /// The body is not the expected JSON.
    #[error("the response is not the expected JSON: {0}")]
    Json(String),
    /// There was no connection, so nothing was sent. In a Worker this cannot be told from [`Self::Network`].
    #[error("the request failed: {0}")]
    Connect(String),
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
