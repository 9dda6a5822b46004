//! Responses for requests without a handler: unknown paths and unsupported methods.

use openagents_host::http::response::{self, with_header};
use openagents_host::http::{HeaderValue, Response, StatusCode, header};

/// The response for an unknown path.
pub(crate) fn not_found() -> Response {
    response::error(
        StatusCode::NOT_FOUND,
        "There is nothing here. The relay is at / (WebSocket), health at /health.",
    )
}

/// The response for another agent's path.
pub(super) fn no_such_agent() -> Response {
    response::error(StatusCode::NOT_FOUND, "This agent is not here; / shows which one is.")
}

/// The response at `/audit` of a deployment without a gateway.
pub(crate) fn no_audit() -> Response {
    response::error(StatusCode::NOT_FOUND, "This deployment has no gateway, and so no audit.")
}

/// The response for a known path with an unsupported method.
pub(crate) fn method_not_allowed(allowed: &str) -> Response {
    let reason = format!("Only these methods are supported here: {allowed}.");
    let response = response::error(StatusCode::METHOD_NOT_ALLOWED, &reason);
    match HeaderValue::from_str(allowed) {
        Ok(allowed) => with_header(response, header::ALLOW, allowed),
        Err(_) => response,
    }
}
