//! `RouteResponse`: the response of a `#[route]` of an agent.

use openagents_host::http::response::{self, JSON, TEXT};
use openagents_host::http::{Body, Bytes, HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// The response of a [`#[route]`](macro@crate::route): status, headers and body. Most routes return something simpler that
/// becomes one ([`IntoResponse`](crate::IntoResponse)).
///
/// ```
/// use openagents_sdk::prelude::*;
/// use openagents_sdk::{RouteResponse, StatusCode};
///
/// fn moved() -> JobResult<RouteResponse> {
///     Ok(RouteResponse::new(StatusCode::FOUND).header("location", "https://example.com/")?)
/// }
///
/// fn refused() -> RouteResponse {
///     RouteResponse::text("Sign in first.").with_status(StatusCode::UNAUTHORIZED)
/// }
/// # assert!(moved().is_ok());
/// # assert_eq!(refused().status(), 401);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Why a header cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseHeaderError {
    /// The name is not one.
    #[error("`{0}` is not the name of a header: expected letters, digits and hyphens")]
    Name(String),
    /// The value has characters that HTTP does not allow.
    #[error("the header `{0}` cannot have this value: expected visible ASCII characters and spaces")]
    Value(String),
    /// The header belongs to the server.
    #[error("the header `{0}` is set by the server")]
    Reserved(HeaderName),
}

/// The headers that describe the connection and the length of the message, which the server knows.
const OF_SERVER: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl RouteResponse {
    /// A response with this status and without a body.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Text (`text/plain`), with status 200.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::typed(TEXT, text.into())
    }

    /// A value as JSON (`application/json`), with status 200.
    ///
    /// # Errors
    /// When JSON cannot hold the value.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        Ok(Self::typed(JSON, serde_json::to_vec(value)?))
    }

    /// Bytes (`application/octet-stream`), with status 200.
    #[must_use]
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::typed(HeaderValue::from_static("application/octet-stream"), bytes)
    }

    pub(crate) fn typed(content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        Self { status: StatusCode::OK, headers, body: body.into() }
    }

    /// What is wrong with the request, as a line of text.
    pub(crate) fn refusal(status: StatusCode, reason: &str) -> Self {
        Self::text(format!("{}\n", reason.trim_end())).with_status(status)
    }

    /// The response of a route that failed; `message` is one for customers.
    pub(crate) fn failure(message: &str) -> Self {
        Self::refusal(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Sets a header, in place of an earlier one with this name.
    ///
    /// # Errors
    /// When name or value is invalid, or the header is one that the server sets, such as `content-length`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ResponseHeaderError> {
        let name: HeaderName = name.parse().map_err(|_| ResponseHeaderError::Name(name.to_owned()))?;
        if OF_SERVER.contains(&name) {
            return Err(ResponseHeaderError::Reserved(name));
        }
        let value = value.parse().map_err(|_| ResponseHeaderError::Value(name.to_string()))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The response for the server. An informational status does not end an exchange, so it becomes an error.
    pub(crate) fn into_http(self) -> Response {
        if self.status.is_informational() {
            let reason = "The agent answered with a status that is not a response's.";
            return response::error(StatusCode::INTERNAL_SERVER_ERROR, reason);
        }
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::{ResponseHeaderError, RouteResponse, StatusCode};

    #[test]
    fn takes_headers_that_are_not_the_servers() {
        let response = RouteResponse::new(StatusCode::FOUND).header("Location", "/a").unwrap();
        assert_eq!(response.header("location", "/b").unwrap().into_http().headers()["location"], "/b");
        let refused = |name, value| RouteResponse::text("").header(name, value).unwrap_err();
        assert_eq!(refused("two words", ""), ResponseHeaderError::Name("two words".to_owned()));
        assert_eq!(refused("x-a", "a\nb"), ResponseHeaderError::Value("x-a".to_owned()));
        for name in ["Content-Length", "transfer-encoding", "connection"] {
            assert!(matches!(refused(name, "1"), ResponseHeaderError::Reserved(_)), "{name}");
        }
    }

    #[test]
    fn never_answers_with_an_informational_status() {
        assert_eq!(RouteResponse::new(StatusCode::SWITCHING_PROTOCOLS).into_http().status(), 500);
        assert_eq!(RouteResponse::new(StatusCode::NO_CONTENT).into_http().status(), 204);
    }
}
