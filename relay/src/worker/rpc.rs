//! Calls of the Worker to the relay's Durable Object: publish, query, manage.

use std::borrow::Cow;

use ::worker::wasm_bindgen::JsValue;
use ::worker::{Error, Method, Request, RequestInit, Response, Result, Stub};
use openagents_host::{Event, VerifiedEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::filter::Filter;
use crate::management::{ManagementReply, Token, UsedToken};
use crate::reason::Outcome;

/// Where the relay object tells how many rows Cloudflare bills, as
/// [`DurableSql::billed_rows`](openagents_host::worker::DurableSql::billed_rows) counts them. The Worker's own routes
/// must never lead here.
pub const BILLED_ROWS_PATH: &str = "/internal/billed-rows";

/// Where the relay object takes events from inside. The Worker's own routes must never lead here: the limits for
/// strangers do not apply.
pub const PUBLISH_PATH: &str = "/internal/publish";

/// Publishes an event through the relay object. When this returns, the event is stored.
///
/// # Errors
/// When the object could not be reached or failed. Whether the event is stored is then not known: publish it
/// again, which is harmless.
pub async fn publish(relay: &Stub, event: &VerifiedEvent) -> Result<Outcome> {
    post(relay, PUBLISH_PATH, event.json()).await?.json().await
}

/// Where the relay object answers queries from inside. The Worker's own routes must never lead here: the limits for
/// strangers do not apply.
pub const QUERY_PATH: &str = "/internal/query";

/// The stored events that match any of the filters, as a `REQ` would bring them: newest first, each once. What was
/// published before is among them.
///
/// A filter brings its `limit`, and at most [`MAX_LIMIT_INSIDE`](crate::limits::MAX_LIMIT_INSIDE). All together
/// have at most [`max_answer_length`](crate::Limits::max_answer_length) bytes; what is left out is the oldest, and
/// can be asked for with `until`.
///
/// # Errors
/// When there are more than [`max_filters`](crate::Limits::max_filters), or the object could not be reached or failed.
pub async fn query(relay: &Stub, filters: &[Filter]) -> Result<Vec<Event>> {
    let mut response = post(relay, QUERY_PATH, &serde_json::to_string(filters)?).await?;
    // Bytes and not a text, which JavaScript would keep at two bytes for each of them.
    Ok(serde_json::from_slice(&response.bytes().await?)?)
}

/// Where the relay object is managed. The Worker's own routes must lead here only for operators.
pub const MANAGE_PATH: &str = "/internal/manage";

/// The request to [`MANAGE_PATH`].
#[derive(Serialize, Deserialize)]
pub(super) struct ManageRequest<'a> {
    pub(super) token: Token,
    pub(super) call: Cow<'a, str>,
}

/// The response of [`MANAGE_PATH`].
#[derive(Serialize, Deserialize)]
pub(super) struct ManageResponse {
    pub(super) is_used_token: bool,
    pub(super) answer: Value,
}

/// Has the relay object carry out what an operator wants: a request of NIP-86 that was signed for by this token.
///
/// # Errors
/// When the object could not be reached or failed.
pub async fn manage(
    relay: &Stub,
    token: Token,
    call: &str,
) -> Result<std::result::Result<ManagementReply, UsedToken>> {
    let passed = serde_json::to_string(&ManageRequest { token, call: Cow::Borrowed(call) })?;
    let ManageResponse { is_used_token, answer } = post(relay, MANAGE_PATH, &passed).await?.json().await?;
    if is_used_token {
        return Ok(Err(UsedToken));
    }
    Ok(Ok(match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(answer.get("result").cloned().unwrap_or_default()),
    }))
}

/// Sends a text to the relay object and gives back its answer, which is to be read.
async fn post(relay: &Stub, path: &str, text: &str) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(JsValue::from_str(text)));
    let request = Request::new_with_init(&format!("https://relay{path}"), &init)?;
    let mut response = relay.fetch_with_request(request).await?;
    if response.status_code() == 200 {
        return Ok(response);
    }
    let answer = response.text().await?;
    Err(Error::RustError(format!(
        "the relay object answered with status {}: {}",
        response.status_code(),
        answer.trim()
    )))
}
