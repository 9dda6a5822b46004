//! The HTTP requests of `doctor`, and their answers.

use std::time::Duration;

use openagents_host::http::{Body, Bytes, Method};
use openagents_host::net::{HttpError, HttpLimits, HttpRequest, Reach, send};
use url::Url;

/// How long the deployment may take for an answer. A Worker that starts a new object takes some seconds.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The largest answer that is read, in bytes.
const MAX_BYTES: usize = 2_000_000;

/// The answer to a request, whatever its status is.
#[derive(Clone, Debug, Default)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl HttpAnswer {
    /// `GET`, with this `Accept`.
    pub(super) async fn get(base: &Url, path: &str, accept: &str) -> Result<Self, HttpError> {
        Self::send(base, Method::GET, path, &[("accept", accept)], Bytes::new()).await
    }

    /// The question of a browser whether a page of another site may upload here (CORS).
    pub(super) async fn preflight(base: &Url, path: &str) -> Result<Self, HttpError> {
        let headers = [
            ("origin", "https://example.com"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "authorization"),
        ];
        Self::send(base, Method::OPTIONS, path, &headers, Bytes::new()).await
    }

    pub(super) async fn send(
        base: &Url,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Self, HttpError> {
        let url = base.join(path).map_err(|error| HttpError::Request(error.to_string()))?;
        let mut request = HttpRequest::new(method, url);
        if !body.is_empty() {
            request.body = Body::Bytes(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let limits =
            HttpLimits { reach: Reach::Anywhere, max_bytes: MAX_BYTES, timeout: TIMEOUT, max_redirects: 0 };
        let response = send(request.limits(limits)).await?;
        let status = response.status();
        let headers = response.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { status, headers, body: response.bytes().await? })
    }

    /// A header's value; empty if it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status and the reason that the deployment gives for it.
    pub(super) fn refusal(&self) -> String {
        let reason = match self.header("x-reason") {
            "" => self.text(),
            reason => reason.to_owned(),
        };
        let reason: String = reason.trim().chars().take(200).collect();
        if reason.is_empty() {
            format!("status {}", self.status)
        } else {
            format!("status {}: {reason}", self.status)
        }
    }
}
