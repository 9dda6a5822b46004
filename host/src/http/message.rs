//! Requests and responses, and helpers for their heads: the URL, lists in headers, whether a body is allowed.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::body::Body;

/// A request to a server.
pub type Request = http::Request<Body>;

/// A server's response.
pub type Response = http::Response<Body>;

/// The value of a header as text; empty if it is missing or not ASCII.
#[must_use]
pub fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a header, which may occur repeatedly, lists this word, ignoring case.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|list| {
        let mut words = list.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        words.any(|listed| listed.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether a request asks for a WebSocket (RFC 6455). `Connection` need not be checked: natively, an `Upgrade` header
/// that it does not name was removed, and on Cloudflare there is no such header.
#[must_use]
pub fn is_websocket_upgrade(headers: &HeaderMap) -> bool {
    lists(headers, &header::UPGRADE, "websocket")
}

/// The URL of a request as its client sees it. Behind a proxy that terminates TLS it begins with `http` although the
/// client used `https`.
///
/// `None` without a host, or if the host is not just an authority: otherwise the URL could end differently from the
/// one that a client has signed.
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
    // A host in the request line takes precedence (RFC 9112).
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

/// Removes the body of a response if HTTP does not allow one: after HEAD (its length is kept), and with certain status
/// codes.
#[must_use]
pub(crate) fn without_forbidden_body(mut response: Response, method: &Method) -> Response {
    let status = response.status();
    let allows_body =
        !status.is_informational() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if allows_body && method != Method::HEAD {
        return response;
    }
    let body = std::mem::take(response.body_mut());
    if allows_body && let Some(length) = body.length() {
        let length = HeaderValue::from(length);
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length);
    }
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{Body, is_websocket_upgrade, request_url};

    fn url(uri: &str, host: Option<&str>) -> Option<String> {
        let mut request = http::Request::builder().uri(uri);
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
    fn recognises_a_websocket_among_several_protocols() {
        for (upgrade, expected) in
            [("websocket", true), ("h2c, WebSocket", true), ("websockets", false), ("", false)]
        {
            let headers = HeaderMap::from_iter([("upgrade".parse().unwrap(), upgrade.parse().unwrap())]);
            assert_eq!(is_websocket_upgrade(&headers), expected, "{upgrade}");
        }
        assert!(!is_websocket_upgrade(&HeaderMap::new()));
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
