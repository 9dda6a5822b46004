//! HTTP messages of servers, on the types of the `http` crate and the same on both hosts.
//!
//! * [`Request`], [`Response`], [`Body`] and [`ByteStream`]: each host converts from and to its own types once
//!   (`native::http`, `worker::http`); everything in between is shared.
//! * [`response`]: the responses that every server needs: text, JSON, no body, an error with advice.
//! * [`range`], [`conditional`], [`ETag`], [`date`]: `Range`, `If-None-Match` and the like (RFC 9110).

pub mod body;
pub mod conditional;
pub mod date;
mod etag;
pub(crate) mod message;
pub mod range;
pub mod response;

pub use ::bytes::Bytes;
pub use ::http::request::Parts;
pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

pub use body::{Body, BodyError, ByteStream};
pub use conditional::{Precondition, Validators};
pub use etag::ETag;
pub use message::{Request, Response, header_text, is_websocket_upgrade, request_url};
pub use range::{ByteRange, Selection};
