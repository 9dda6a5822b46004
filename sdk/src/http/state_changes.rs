//! `PUT` and `DELETE /agent/{npub}/state/{field}`, `DELETE /agent/{npub}/state.json`: an operator changes the stored state,
//! also of an agent that cannot start with it.

use std::time::Duration;

use openagents_host::http::response::{self, private};
use openagents_host::http::{Body, Bytes, Method, Parts, Response, StatusCode, header, header_text};
use openagents_host::timeout;
use openagents_relay::management::{Token, UsedToken};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::answer::PendingQuery;
use super::operator::Operator;
use crate::engine::{ManualStateChange, StateChange, StateQuery};

/// The longest value, in bytes of JSON: what fits into a row of a Durable Object.
const MAX_BYTES: usize = 1_500_000;

/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the body of an operator's request; that of a stranger is not read.
pub(super) async fn read_body(parts: &Parts, body: Body) -> Result<Bytes, Response> {
    if header_text(&parts.headers, &header::AUTHORIZATION).is_empty() {
        return Ok(Bytes::new());
    }
    let error = |status, reason: &str| private(response::error(status, reason));
    match timeout(BODY_TIMEOUT, body.read_to_end(MAX_BYTES)).await {
        Some(Ok(body)) => Ok(body),
        Some(Err(reason)) => {
            Err(error(StatusCode::BAD_REQUEST, &format!("The value cannot be read: {reason}.")))
        }
        None => Err(error(StatusCode::REQUEST_TIMEOUT, "The value did not arrive in time.")),
    }
}

/// The query that makes the change. `field` is as in the URL.
pub(super) fn change(
    _: &Operator,
    token: Token,
    field: Option<&str>,
    method: &Method,
    body: &[u8],
) -> Result<PendingQuery, Response> {
    let field = field.map(|field| percent_decode_str(field).decode_utf8_lossy().into_owned());
    let change = match (field, method) {
        (Some(field), &Method::PUT) => {
            let value = serde_json::from_slice(body).map_err(|error| {
                let reason = format!("The value is not JSON: {error}. Text is written with quotes.");
                private(response::error(StatusCode::BAD_REQUEST, &reason))
            })?;
            StateChange::Set { field, value }
        }
        (Some(field), _) => StateChange::ResetField { field },
        (None, _) => StateChange::Reset,
    };
    let query = StateQuery::ChangeState { change, token };
    Ok(PendingQuery::new(query, |changed: ManualStateChange| private(respond(&changed))))
}

fn respond(changed: &ManualStateChange) -> Response {
    let error = |status, reason: &str| response::error(status, reason);
    match changed {
        ManualStateChange::Done => response::json(StatusCode::OK, json!({ "state": "stored" }).to_string()),
        ManualStateChange::Running => {
            error(StatusCode::CONFLICT, "A handler that may change the state is running: try again.")
        }
        ManualStateChange::UsedToken => error(StatusCode::UNAUTHORIZED, &UsedToken.to_string()),
        ManualStateChange::Refused(reason) => error(StatusCode::BAD_REQUEST, reason),
    }
}
