//! Blobs of other servers, for mirroring.

use std::time::Duration;

use openagents_host::http::{Body, StatusCode};
use openagents_host::net::{HttpLimits, HttpRequest, Reach, send};
use url::Url;

use crate::media_type::MediaType;
use crate::refusal::Refusal;

/// The response of another server.
pub(crate) struct Fetched<B> {
    pub(crate) media_type: Option<MediaType>,
    pub(crate) size: Option<u64>,
    pub(crate) body: B,
}

/// Begins to read from another server. Every address that it leads to is checked, and the body ends with an error after
/// `max_bytes` or `timeout`.
pub(crate) async fn fetch(
    url: &Url,
    reach: Reach,
    max_bytes: u64,
    timeout: Duration,
) -> Result<Fetched<Body>, Refusal> {
    let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let limits = HttpLimits { reach, max_bytes, timeout, ..HttpLimits::default() };
    let response = send(HttpRequest::get(url.as_str()).limits(limits)).await;
    let response = response.map_err(|error| bad_origin(&error.to_string()))?;
    if !response.is_success() {
        return Err(bad_origin(&format!("it answered with status {}", response.status())));
    }
    let media_type = response.header("content-type").and_then(|text| text.parse().ok());
    let body = response.into_body();
    Ok(Fetched { media_type, size: body.length(), body })
}

/// The refusal when another server does not give what was asked for.
fn bad_origin(reason: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_GATEWAY, format!("the other server: {reason}"))
}
