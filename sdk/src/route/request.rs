//! `RouteRequest`: a request to a `#[route]` of an agent, with its whole body.

use std::fmt;
use std::str::Utf8Error;
use std::sync::Arc;

use openagents_host::http::{Bytes, HeaderMap, Method, Parts, Uri};

use super::admission::RoutePermit;

/// A request to a [`#[route]`](macro@crate::route) of an agent, with its whole body. Cheap to clone.
///
/// ```
/// use openagents_sdk::prelude::*;
/// use openagents_sdk::RouteRequest;
///
/// #[agent(name = "listener")]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Listener;
///
/// #[jobs]
/// impl Listener {
///     #[route(POST, "/hook")]
///     async fn hook(&self, request: RouteRequest) -> JobResult<String> {
///         let source = request.header("user-agent").unwrap_or("somebody");
///         Ok(format!("{} bytes from {source}", request.body().len()))
///     }
/// }
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct RouteRequest(Arc<RouteRequestInner>);

struct RouteRequestInner {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    /// Given back when nothing needs the request any more.
    _permit: Option<RoutePermit>,
}

impl RouteRequest {
    pub(crate) fn new(parts: &Parts, body: Bytes, permit: Option<RoutePermit>) -> Self {
        let (method, uri, headers) = (parts.method.clone(), parts.uri.clone(), parts.headers.clone());
        Self(Arc::new(RouteRequestInner { method, uri, headers, body, _permit: permit }))
    }

    /// The method. A route for `GET` also gets `HEAD` requests; their response is sent without its body.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The path as it was requested: `/hook`, or `/agent/<npub or name>/hook`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.uri.path()
    }

    /// The query as it was sent, without its question mark; empty if there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.0.uri.query().unwrap_or_default()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The first value of a header, whose name may have any case; `None` if it is missing or not ASCII.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name)?.to_str().ok()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(&self.0.body)
    }
}

/// Headers and body may hold secrets, so only their lengths are shown.
impl fmt::Debug for RouteRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteRequest")
            .field("method", self.method())
            .field("path", &self.path())
            .field("headers", &self.headers().len())
            .field("body", &self.body().len())
            .finish()
    }
}
