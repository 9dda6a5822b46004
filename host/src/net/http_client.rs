//! HTTP requests as a client, with limits on everything that the server controls: size, time, redirects.

mod events;
mod response;

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use url::Url;

use super::address::{self, AddressError, Reach, public_url};
use super::allowed_origins::AllowedOrigins;
use super::deadline::Deadline;
use super::error::HttpError;
use super::exchange::Exchange;
use super::platform;
use crate::http::{Body, Response};

pub use events::ServerSentEvents;
pub use response::HttpResponse;

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
pub struct HttpLimits {
    /// Which addresses may be reached, including targets of redirects.
    pub reach: Reach,
    /// The maximum size of the response body, in bytes.
    pub max_bytes: usize,
    /// The time limit, from resolving the name to the last byte of the response body.
    pub timeout: Duration,
    /// The maximum number of redirects.
    pub max_redirects: usize,
}

impl Default for HttpLimits {
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

/// A request for [`send`].
///
/// ```
/// use openagents_host::net::HttpRequest;
///
/// let request = HttpRequest::get("https://api.example.com/v1/models").header("authorization", "Bearer secret");
/// assert_eq!(request.limits.max_bytes, 5_000_000);
/// ```
pub struct HttpRequest {
    /// Any method except CONNECT and TRACE.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// Names and values. After a redirect to another origin, headers that might contain a secret are left out.
    pub headers: Vec<(String, String)>,
    /// The body; empty for GET and HEAD.
    pub body: Body,
    /// The limits.
    pub limits: HttpLimits,
    /// Origins that may be reached besides those that `limits.reach` allows.
    pub allowed_origins: AllowedOrigins,
}

impl HttpRequest {
    /// A request without headers or a body, within the usual limits.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: Body::Empty,
            limits: HttpLimits::default(),
            allowed_origins: AllowedOrigins::default(),
        }
    }

    /// A GET request for `url`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Replaces the limits.
    #[must_use]
    pub fn limits(self, limits: HttpLimits) -> Self {
        Self { limits, ..self }
    }
}

impl std::fmt::Debug for HttpRequest {
    /// Leaves out the query, header values and the body, because they may contain keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("url", &self.url.split(['?', '#']).next())
            .field("headers", &names)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Sends a request, and returns the response once its head has arrived. The body is read within the request's
/// [`HttpLimits`].
///
/// Every address, including those of redirects, is checked by [`public_url`], and natively also after name resolution.
/// A status such as 404 is not an error: see [`HttpResponse::status`].
///
/// # Errors
/// When the request is malformed, an address may not be reached, a limit is exceeded, or the connection fails.
pub async fn send(request: HttpRequest) -> Result<HttpResponse, HttpError> {
    send_through(request, platform::exchange).await
}

/// As [`send`], with another way to reach servers: `exchange` sends one request to one address.
///
/// # Errors
/// As `send`, and those of `exchange`.
pub async fn send_through<F, Answered>(request: HttpRequest, exchange: F) -> Result<HttpResponse, HttpError>
where
    F: Fn(Exchange) -> Answered,
    Answered: Future<Output = Result<Response, HttpError>>,
{
    let limits = request.limits;
    let deadline = Deadline::after(limits.timeout);
    let mut next = Redirectable::first(request)?;
    for _ in 0..=limits.max_redirects {
        let response = deadline.limit(exchange(next.exchange())).await?;
        match redirect_location(&response) {
            Some(location) => next = next.redirected(response.status(), location, limits.reach)?,
            None => {
                let is_head = next.method == Method::HEAD;
                return Ok(HttpResponse::new(next.url, response, is_head, limits.max_bytes, deadline));
            }
        }
    }
    Err(HttpError::Redirects { limit: limits.max_redirects })
}

/// The body of a request that a redirect may send again.
enum RequestBody {
    /// It can be sent repeatedly. Empty if there is none.
    Bytes(Bytes),
    /// It can be sent once.
    Stream(Body),
    /// A stream that was sent.
    Sent,
}

/// A request that can be sent again to where a redirect points.
struct Redirectable {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: RequestBody,
    reach: Reach,
}

impl Redirectable {
    fn first(request: HttpRequest) -> Result<Self, HttpError> {
        let HttpRequest { method, url, headers: named, body, limits, allowed_origins } = request;
        let (url, reach) = match public_url(&url, &SCHEMES, Reach::Anywhere) {
            Ok(url) if allowed_origins.contains(&url) => (url, Reach::Anywhere),
            _ => (public_url(&url, &SCHEMES, limits.reach)?, limits.reach),
        };
        if matches!(method, Method::CONNECT | Method::TRACE) {
            return Err(HttpError::Request(format!("the method {method} is not accepted")));
        }
        let body = match body {
            Body::Empty => RequestBody::Bytes(Bytes::new()),
            Body::Bytes(bytes) => RequestBody::Bytes(bytes),
            stream @ Body::Stream(_) => RequestBody::Stream(stream),
        };
        let is_empty = matches!(&body, RequestBody::Bytes(bytes) if bytes.is_empty());
        if !is_empty && matches!(method, Method::GET | Method::HEAD) {
            return Err(HttpError::Request(format!("a {method} request has no body")));
        }
        Ok(Self { method, url, headers: checked(named)?, body, reach })
    }

    /// What is sent now.
    fn exchange(&mut self) -> Exchange {
        let body = match &self.body {
            RequestBody::Bytes(bytes) => bytes.clone().into(),
            RequestBody::Stream(_) | RequestBody::Sent => {
                match std::mem::replace(&mut self.body, RequestBody::Sent) {
                    RequestBody::Stream(body) => body,
                    RequestBody::Bytes(_) | RequestBody::Sent => Body::Empty,
                }
            }
        };
        Exchange {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body,
            reach: self.reach,
        }
    }

    /// The next request according to the Fetch standard: a POST becomes a GET after 301 and 302, and any method except
    /// GET and HEAD does after 303.
    ///
    /// Another origin must be one that `reach` allows: what leads to an allowed private address is the operator's URL,
    /// not a server's answer.
    fn redirected(mut self, status: StatusCode, location: &str, reach: Reach) -> Result<Self, HttpError> {
        let url = self.url.join(location).map_err(|error| AddressError::Form(error.to_string()))?;
        let is_same_origin = url.origin() == self.url.origin();
        if !is_same_origin {
            self.reach = reach;
        }
        address::check(&url, &SCHEMES, self.reach)?;
        let becomes_get = match status.as_u16() {
            301 | 302 => self.method == Method::POST,
            303 => !matches!(self.method, Method::GET | Method::HEAD),
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = RequestBody::Bytes(Bytes::new());
            self.headers.remove(header::CONTENT_TYPE);
            self.headers.remove(header::CONTENT_LANGUAGE);
        }
        if matches!(self.body, RequestBody::Sent) {
            return Err(HttpError::StreamRedirected);
        }
        if !is_same_origin {
            let private: Vec<_> =
                self.headers.keys().filter(|name| !SAFE_FOR_ANY_ORIGIN.contains(name)).cloned().collect();
            for name in private {
                self.headers.remove(name);
            }
        }
        Ok(Self { url, ..self })
    }
}

/// The headers, if they can be sent.
fn checked(named: Vec<(String, String)>) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in named {
        let checked = HeaderName::try_from(&name).ok().filter(|name| !FRAMING.contains(name));
        // The `http` crate accepts non-ASCII values, which the hosts would encode differently.
        let value = HeaderValue::try_from(&value).ok().filter(|value| value.to_str().is_ok());
        match checked.zip(value) {
            Some((name, value)) => headers.append(name, value),
            None => return Err(HttpError::Header { name }),
        };
    }
    // Many sites refuse clients without a user agent.
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("openagents/", env!("CARGO_PKG_VERSION"))));
    Ok(headers)
}

fn redirect_location(response: &Response) -> Option<&str> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    location.filter(|_| matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308))
}

#[cfg(test)]
mod tests;
