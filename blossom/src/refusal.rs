//! Refusals: the status of an error, and the reason in `X-Reason` (BUD-01) and in the body.

use openagents_host::http::response::{self, private, with_header};
use openagents_host::http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::authorization::AuthorizationError;
use crate::response::set_common_headers;

/// The header with the reason of an error.
const X_REASON: HeaderName = HeaderName::from_static("x-reason");

/// A request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// What is wrong and what would be accepted, in one line.
    reason: String,
    /// For statuses that mean "later": after how many seconds.
    retry_after: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after: None }
    }

    pub(crate) fn bad_request(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "this blob is not here")
    }

    /// Something of the server failed; its log says what.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, reason) }
    }

    pub(crate) fn into_response(self) -> Response {
        let response = response::error(self.status, &self.reason);
        // Errors are about this moment: the next request may succeed.
        let mut response = private(response);
        if let Ok(reason) = HeaderValue::from_str(&visible_ascii(&self.reason)) {
            response = with_header(response, X_REASON, reason);
        }
        match self.retry_after {
            Some(seconds) => with_header(response, http::header::RETRY_AFTER, seconds.into()),
            None => response,
        }
    }
}

/// The response to a client that sends too many requests; `reason` says how many are accepted, or when.
#[must_use]
pub fn rate_limited(reason: &str) -> Response {
    let refusal = Refusal { retry_after: Some(10), ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, reason) };
    let mut response = refusal.into_response();
    set_common_headers(response.headers_mut());
    response
}

impl From<AuthorizationError> for Refusal {
    fn from(error: AuthorizationError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.to_string())
    }
}

/// The text as it can stand in a header.
fn visible_ascii(text: &str) -> String {
    text.chars().map(|character| if (' '..='~').contains(&character) { character } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use openagents_host::http::StatusCode;

    use super::Refusal;

    #[test]
    fn the_reason_is_in_the_header_whatever_it_contains() {
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "`ü\r\nx: y` is not a type");
        let response = refusal.into_response();
        assert_eq!(response.headers()["x-reason"], "`???x: y` is not a type");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.headers().get("retry-after").is_none());
    }

    #[test]
    fn a_failure_of_the_server_says_when_to_try_again() {
        let response = Refusal::unavailable("the disk is full").into_response();
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &5.into()));
    }
}
