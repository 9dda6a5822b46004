//! The way of an agent's events into the relay object.

use ::worker::wasm_bindgen::JsValue;
use ::worker::{Error, Method, Request, RequestInit, Response, Stub};
use openagents_host::VerifiedEvent;

use crate::reason::Outcome;

/// Where the relay object takes events from inside. The Worker's own routes must never lead here: the limits for strangers
/// do not apply.
pub const PUBLISH_PATH: &str = "/internal/publish";

/// Publishes an event through the relay object. When this returns, the event is stored.
///
/// # Errors
/// When the object could not be reached or failed. Whether the event is stored is then not known: publish it
/// again, which is harmless.
pub async fn publish(relay: &Stub, event: &VerifiedEvent) -> Result<Outcome, Error> {
    post(relay, PUBLISH_PATH, event.json()).await?.json().await
}

/// Sends a text to the relay object and gives back its answer, which is to be read.
pub(super) async fn post(relay: &Stub, path: &str, text: &str) -> Result<Response, Error> {
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
