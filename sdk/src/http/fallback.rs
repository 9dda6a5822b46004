//! Responses where no handler is: unknown paths, methods that a path does not have.

use openagents_host::http::response::{self, with_header};
use openagents_host::http::{HeaderValue, Response, StatusCode, header};

/// No route has this path.
pub(crate) fn not_found() -> Response {
    response::error(
        StatusCode::NOT_FOUND,
        "There is nothing here. The relay is at / (WebSocket), health at /health.",
    )
}

/// The path is of another agent.
pub(super) fn no_such_agent() -> Response {
    response::error(StatusCode::NOT_FOUND, "No such agent lives here; / says which one does.")
}

/// The path has a route, but not for this method.
pub(crate) fn method_not_allowed() -> Response {
    with_header(
        response::error(StatusCode::METHOD_NOT_ALLOWED, "Only GET, HEAD and OPTIONS are answered here."),
        header::ALLOW,
        HeaderValue::from_static("GET, HEAD, OPTIONS"),
    )
}
