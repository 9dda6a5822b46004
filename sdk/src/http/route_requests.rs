//! Requests to the routes that an agent declares (`/agent/{npub or name}/{path}`, `/{path}`): admits them, reads their
//! bodies, and makes the responses.

use std::net::IpAddr;
use std::time::Duration;

use openagents_host::http::response::{self, private, with_header};
use openagents_host::http::{Body, BodyError, HeaderValue, Parts, Response, StatusCode, header};
use openagents_host::{Timestamp, timeout};

use crate::declaration::RouteDeclaration;
use crate::engine::MAX_ROUTE_WAIT;
use crate::route::{RouteAdmission, RouteRefusal, RouteRequest, RouteResponse};

/// How long a client may take to send the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a host waits for the response of the agent's engine: longer than a request may wait and a route take.
pub(crate) const MAX_RESPONSE_WAIT: Duration = MAX_ROUTE_WAIT.saturating_add(Duration::from_secs(35));

/// Receives a request to a route, or returns the error response.
pub(super) async fn receive(
    admission: &RouteAdmission,
    route: &RouteDeclaration,
    parts: &Parts,
    body: Body,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<RouteRequest, Response> {
    let expected =
        body.length().map_or(route.max_bytes, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if expected > route.max_bytes {
        return Err(too_long(route));
    }
    let mut permit = admission.admit(now, address, expected).map_err(|refusal| match refusal {
        RouteRefusal::TooMany(reason) => later(StatusCode::TOO_MANY_REQUESTS, &reason),
        RouteRefusal::Busy => later(StatusCode::SERVICE_UNAVAILABLE, &refusal.to_string()),
    })?;
    let body = match timeout(BODY_TIMEOUT, body.read_to_end(route.max_bytes)).await {
        Some(Ok(body)) => body,
        Some(Err(BodyError::TooLong { .. })) => return Err(too_long(route)),
        Some(Err(error)) => return Err(refused(StatusCode::BAD_REQUEST, &error.to_string())),
        None => {
            let reason = format!("The body did not arrive within {} s.", BODY_TIMEOUT.as_secs());
            return Err(refused(StatusCode::REQUEST_TIMEOUT, &reason));
        }
    };
    permit.shrink_to(body.len());
    Ok(RouteRequest::new(parts, body, Some(permit)))
}

/// The response for the client; without one from the agent, that it is busy.
pub(crate) fn response_of(answered: Option<RouteResponse>) -> Response {
    match answered {
        Some(response) => response.into_http(),
        None => later(StatusCode::SERVICE_UNAVAILABLE, "The agent is busy: try again later."),
    }
}

fn too_long(route: &RouteDeclaration) -> Response {
    let reason = format!("The body may have {} bytes.", route.max_bytes);
    refused(StatusCode::PAYLOAD_TOO_LARGE, &reason)
}

fn later(status: StatusCode, reason: &str) -> Response {
    with_header(refused(status, reason), header::RETRY_AFTER, HeaderValue::from_static("10"))
}

fn refused(status: StatusCode, reason: &str) -> Response {
    private(response::error(status, reason))
}
