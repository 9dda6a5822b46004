//! HTTP messages of servers, on the types of the `http` crate and the same on both hosts.
//!
//! * [`Request`], [`Response`], [`Body`] and [`ByteStream`]: a host converts to and from its own once (`native::http`,
//!   `worker::http`), and everything between is written once.
//! * [`response`]: the responses that every server gives: text, JSON, nothing, an error that says what to do.
//! * [`range`], [`conditional`], [`ETag`], [`date`]: `Range`, `If-None-Match` and the like (RFC 9110).

pub mod body;
pub mod conditional;
pub mod date;
mod etag;
pub mod range;
pub mod response;

pub use ::bytes::Bytes;
pub use ::http::request::Parts;
pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

pub use body::{Body, BodyError, ByteStream};
pub use conditional::{Precondition, Validators};
pub use etag::ETag;
pub use range::{ByteRange, Selection};

/// A request to a server.
pub type Request = ::http::Request<Body>;

/// A server's response.
pub type Response = ::http::Response<Body>;

/// The header of this name as text; empty when there is none, or it is not ASCII.
#[must_use]
pub fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The URL of a request as its client sees it. Behind a proxy that ends TLS it is `http` where the client wrote `https`.
///
/// `None` without a host, or with one that is more than an authority: the URL that a client signs must not end with
/// another one than is meant.
///
/// ```
/// use openagents_host::http::{Body, request_url};
///
/// let request = http::Request::builder().uri("/a?b=c").header("host", "agent.example:8787");
/// let (parts, _) = request.body(Body::Empty).unwrap().into_parts();
/// assert_eq!(request_url(&parts).as_deref(), Some("http://agent.example:8787/a?b=c"));
/// ```
#[must_use]
pub fn request_url(parts: &Parts) -> Option<String> {
    // A client that names the host in the request line means that one (RFC 9112).
    let host = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => header_text(&parts.headers, &header::HOST),
    };
    if host.is_empty() || host.contains(['/', '?', '#', '\\', '@']) {
        return None;
    }
    let scheme = parts.uri.scheme_str().unwrap_or("http");
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    Some(format!("{scheme}://{host}{path}"))
}

#[cfg(test)]
mod tests {
    use super::{Body, request_url};

    fn url(uri: &str, host: Option<&str>) -> Option<String> {
        let mut request = ::http::Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request_url(&request.body(Body::Empty).unwrap().into_parts().0)
    }

    #[test]
    fn tells_the_url_from_the_request_line_or_the_host_header() {
        for (uri, host, expected) in [
            ("/a/b?c=d%20e", Some("agent.example"), "http://agent.example/a/b?c=d%20e"),
            ("/?", Some("[::1]:8787"), "http://[::1]:8787/?"),
            ("https://agent.example/a?b", None, "https://agent.example/a?b"),
            ("http://agent.example/", Some("other.example"), "http://agent.example/"),
        ] {
            assert_eq!(url(uri, host).as_deref(), Some(expected), "{uri} {host:?}");
        }
    }

    #[test]
    fn tells_no_url_where_the_host_is_missing_or_more_than_an_authority() {
        for host in
            [None, Some(""), Some("a.example/x"), Some("a.example?"), Some("me@a.example"), Some("a\\b")]
        {
            assert_eq!(url("/a", host), None, "{host:?}");
        }
        assert_eq!(url("http://me@a.example/", None), None);
    }
}
