//! The responses of the blob server: every page may read them (BUD-01), and no blob can act in the name of this server.

use openagents_host::http::response::{self, with_header};
use openagents_host::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;

/// The headers of every response. BUD-01 demands them; lists are explicit beside `*`, which is not understood by every
/// client and never covers `Authorization`.
const COMMON: [(HeaderName, &str); 5] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "*"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // A blob is another's work on our origin: it must not run scripts, submit forms or be framed as part of a page here.
    (
        header::CONTENT_SECURITY_POLICY,
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:",
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
];

/// Sets the headers that every response of the blob server has.
pub(crate) fn set_common_headers(headers: &mut HeaderMap) {
    for (name, value) in COMMON {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A response with this value as JSON, which no cache keeps.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(json) => response::private(response::json(status, json)),
        Err(_) => response::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The response to a method that an endpoint does not have.
pub(crate) fn method_not_allowed(methods: &[Method]) -> Response {
    let names: Vec<&str> = methods.iter().map(Method::as_str).chain(["OPTIONS"]).collect();
    let names = names.join(", ");
    let response = response::error(StatusCode::METHOD_NOT_ALLOWED, &format!("Expected {names}."));
    match HeaderValue::from_str(&names) {
        Ok(names) => with_header(response, header::ALLOW, names),
        Err(_) => response,
    }
}
