//! HTTP requests as a client, with limits on everything that the server controls: size, time, redirects.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::address::{self, AddressError, Reach, public_url};
use super::error::FetchError;
use super::exchange::{Exchange, ExchangeResponse, Method};
use super::platform::{self, timeout};

const SCHEMES: [&str; 2] = ["https", "http"];

/// Headers that frame the message, which the caller may not set.
const FRAMING: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers that are also sent to another origin after a redirect. All others might contain a secret.
const SAFE_FOR_ANY_ORIGIN: [HeaderName; 5] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    header::CONTENT_LANGUAGE,
    header::USER_AGENT,
];

/// The limits of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Which addresses may be reached, including targets of redirects.
    pub reach: Reach,
    /// The maximum size of the response body, in bytes.
    pub max_bytes: usize,
    /// The time limit, from resolving the name to the last byte of the body.
    pub timeout: Duration,
    /// The maximum number of redirects.
    pub max_redirects: usize,
}

impl Default for FetchLimits {
    /// Public addresses, 5 MB, 20 seconds, 3 redirects.
    fn default() -> Self {
        Self {
            reach: Reach::Public,
            max_bytes: 5_000_000,
            timeout: Duration::from_secs(20),
            max_redirects: 3,
        }
    }
}

/// A request for [`fetch`].
///
/// ```
/// use openagents_host::net::FetchRequest;
///
/// let request = FetchRequest::post("https://api.example.com/v1/translate", r#"{"text":"hello"}"#)
///     .header("content-type", "application/json")
///     .header("authorization", "Bearer …".replace('…', "secret"));
/// assert_eq!(request.limits.max_bytes, 5_000_000);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// GET or POST.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// Names and values. After a redirect to another origin, headers that might contain a secret are left out.
    pub headers: Vec<(String, String)>,
    /// The body; empty for a GET.
    pub body: Vec<u8>,
    /// The limits.
    pub limits: FetchLimits,
}

impl FetchRequest {
    /// A GET request for `url`.
    pub fn get(url: impl Into<String>) -> Self {
        let limits = FetchLimits::default();
        Self { method: Method::Get, url: url.into(), headers: Vec::new(), body: Vec::new(), limits }
    }

    /// A POST request that sends `body` to `url`.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { method: Method::Post, body: body.into(), ..Self::get(url) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub fn limits(mut self, limits: FetchLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl std::fmt::Debug for FetchRequest {
    /// Leaves out header values and the body, because they may contain keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("FetchRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &names)
            .field("body", &self.body.len())
            .field("limits", &self.limits)
            .finish()
    }
}

/// A response with any status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The HTTP status, such as 200.
    pub status: u16,
    /// The header `content-type`, unchanged.
    pub content_type: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
    /// The URL of the response, after redirects.
    pub url: Url,
}

impl Fetched {
    /// Whether the status is a success (2xx).
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body as UTF-8, with `�` in place of invalid bytes.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// Makes a request and reads the whole response, within the request's [`FetchLimits`].
///
/// Every address, including those of redirects, is checked by [`public_url`], and natively also after name resolution.
/// A status such as 404 is not an error: see [`Fetched::status`].
///
/// # Errors
/// When an address may not be reached, a limit is exceeded, or the connection fails.
pub async fn fetch(request: FetchRequest) -> Result<Fetched, FetchError> {
    let after = request.limits.timeout;
    timeout(after, follow(request)).await.unwrap_or(Err(FetchError::Timeout { after }))
}

async fn follow(request: FetchRequest) -> Result<Fetched, FetchError> {
    let limits = request.limits;
    let mut exchange = Exchange::first(request)?;
    for _ in 0..=limits.max_redirects {
        let response = platform::exchange(&exchange, limits.reach).await?;
        match redirected(&response) {
            Some(location) => exchange = exchange.redirected(response.status, location, limits.reach)?,
            None => return collect(exchange.url, response, limits.max_bytes).await,
        }
    }
    Err(FetchError::Redirects { limit: limits.max_redirects })
}

impl Exchange {
    fn first(request: FetchRequest) -> Result<Self, FetchError> {
        let url = public_url(&request.url, &SCHEMES, request.limits.reach)?;
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            let checked = HeaderName::try_from(&name).ok().filter(|name| !FRAMING.contains(name));
            // The `http` crate accepts non-ASCII values, which the hosts would encode differently.
            let value = HeaderValue::try_from(&value).ok().filter(|value| value.to_str().is_ok());
            match checked.zip(value) {
                Some((name, value)) => headers.append(name, value),
                None => return Err(FetchError::Header { name }),
            };
        }
        // Many sites refuse clients without a user agent.
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("openagents/", env!("CARGO_PKG_VERSION"))));
        let body = if request.method == Method::Get { Vec::new() } else { request.body };
        Ok(Self { method: request.method, url, headers, body })
    }

    /// The next request according to the Fetch standard: after 301, 302 and 303 a POST becomes a GET.
    fn redirected(mut self, status: u16, location: &str, reach: Reach) -> Result<Self, FetchError> {
        let url = self.url.join(location).map_err(|error| AddressError::Form(error.to_string()))?;
        address::check(&url, &SCHEMES, reach)?;
        if matches!(status, 301..=303) {
            self.method = Method::Get;
            self.body = Vec::new();
            self.headers.remove(header::CONTENT_TYPE);
            self.headers.remove(header::CONTENT_LANGUAGE);
        }
        if url.origin() != self.url.origin() {
            let private: Vec<_> =
                self.headers.keys().filter(|name| !SAFE_FOR_ANY_ORIGIN.contains(name)).cloned().collect();
            for name in private {
                self.headers.remove(name);
            }
        }
        Ok(Self { url, ..self })
    }
}

fn redirected<B>(response: &ExchangeResponse<B>) -> Option<&str> {
    matches!(response.status, 301 | 302 | 303 | 307 | 308).then_some(response.location.as_deref()).flatten()
}

async fn collect(
    url: Url,
    mut response: ExchangeResponse<platform::Body>,
    limit: usize,
) -> Result<Fetched, FetchError> {
    if response.content_length.is_some_and(|length| length > limit) {
        return Err(FetchError::TooLarge { limit });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.body.chunk().await? {
        if chunk.len() > limit.saturating_sub(body.len()) {
            return Err(FetchError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Fetched { status: response.status, content_type: response.content_type, body, url })
}

#[cfg(test)]
mod tests;
