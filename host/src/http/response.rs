//! The responses that every HTTP server needs: text, JSON, no body, errors, and the headers that let any web page read
//! them.

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::body::Body;
use super::conditional::Validators;
use super::date;
use super::message::Response;
use super::range::unsatisfied_content_range;

/// The `Content-Type` of text for people.
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The `Content-Type` of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The headers of every response: any web page may read it (CORS, as NIP-11 and NIP-05 require), and browsers must not
/// guess its type.
///
/// Headers are listed beside `*`, which does not cover `authorization`, and which some clients take for a name. The methods
/// and headers are those of all endpoints together, because a preflight request is answered in the same way for every path
/// (BUD-01).
pub const COMMON_HEADERS: [(HeaderName, &str); 5] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type, content-length, range, x-sha-256, x-content-type, x-content-length, x-cashu, x-lightning, *",
    ),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
    (header::VARY, "accept"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// A response with a body of this type. For a response without a type, use [`empty`].
#[must_use]
pub fn bytes(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    typed(status, content_type, body.into())
}

/// Text for people.
#[must_use]
pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Response {
    typed(status, TEXT, text.into())
}

/// A response with this JSON.
#[must_use]
pub fn json(status: StatusCode, json: impl Into<Bytes>) -> Response {
    typed(status, JSON, json.into())
}

/// A status without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// An error as a line of text: what is wrong and how to fix it.
#[must_use]
pub fn error(status: StatusCode, reason: &str) -> Response {
    text(status, format!("{}\n", reason.trim_end()))
}

/// The response to `OPTIONS`, the CORS preflight request.
#[must_use]
pub fn preflight() -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    set_common_headers(response.headers_mut());
    with_header(response, header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"))
}

/// The client already has this version (304).
#[must_use]
pub fn not_modified(current: &Validators) -> Response {
    let mut response = empty(StatusCode::NOT_MODIFIED);
    set_validators(response.headers_mut(), current);
    response
}

/// The requested range is outside of the `length` bytes (416).
#[must_use]
pub fn range_not_satisfiable(length: u64) -> Response {
    let reason = format!("There are {length} bytes: request a range within them.");
    with_header(
        error(StatusCode::RANGE_NOT_SATISFIABLE, &reason),
        header::CONTENT_RANGE,
        unsatisfied_content_range(length),
    )
}

/// Sets a header.
#[must_use]
pub fn with_header(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// Forbids all caches to store the response.
#[must_use]
pub fn private(response: Response) -> Response {
    with_header(response, header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// Sets `ETag` and `Last-Modified`, if known.
pub fn set_validators(headers: &mut HeaderMap, current: &Validators) {
    let etag = current.etag.as_ref().map(|etag| (header::ETAG, etag.to_string()));
    let modified = current.last_modified.map(|time| (header::LAST_MODIFIED, date::format(time)));
    for (name, text) in [etag, modified].into_iter().flatten() {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}

/// Sets the [`COMMON_HEADERS`].
pub fn set_common_headers(headers: &mut HeaderMap) {
    for (name, value) in COMMON_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn typed(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response {
    let mut response = empty(status);
    *response.body_mut() = body.into();
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode, header};

    use super::{error, json, not_modified, range_not_satisfiable, set_common_headers};
    use crate::http::{Body, ETag, Response, Validators};
    use crate::time::Timestamp;

    fn header<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    async fn body(response: Response) -> String {
        String::from_utf8(response.into_body().read_to_end(1_000).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn error_is_one_line_of_text() {
        let response = error(StatusCode::NOT_FOUND, "There is nothing here.\n");
        assert_eq!(header(&response, "content-type"), "text/plain; charset=utf-8");
        assert_eq!(
            (response.status().as_u16(), body(response).await.as_str()),
            (404, "There is nothing here.\n")
        );
        let response = json(StatusCode::OK, "{}");
        assert_eq!(
            (header(&response, "content-type"), response.status().as_u16()),
            ("application/json", 200)
        );
    }

    #[test]
    fn unsatisfiable_range_states_the_length() {
        let response = range_not_satisfiable(7);
        assert_eq!((response.status().as_u16(), header(&response, "content-range")), (416, "bytes */7"));
    }

    #[test]
    fn not_modified_names_the_version_and_has_no_body() {
        let current =
            Validators { etag: ETag::weak("7"), last_modified: Some(Timestamp::from_seconds(784_111_777)) };
        let response = not_modified(&current);
        assert_eq!(header(&response, "etag"), "W/\"7\"");
        assert_eq!(header(&response, "last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(header(&response, "content-type"), "");
        assert!(matches!(response.body(), Body::Empty));
    }

    #[test]
    fn common_headers_let_every_page_read_a_response() {
        let mut headers = HeaderMap::new();
        set_common_headers(&mut headers);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
