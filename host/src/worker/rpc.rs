//! Calls between the Durable Objects of a deployment: one POST of a serialized request, answered by a serialized
//! reply.
//!
//! Requests and replies are enums. Calls cannot come from outside: the Worker routes no public request to
//! [`CALL_PATH`].

use ::worker::wasm_bindgen::JsValue;
use ::worker::{Error, Method, Request, RequestInit, Response, Result, Stub};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The path of every call. The Worker must never route public requests here, because limits for clients do not apply.
pub const CALL_PATH: &str = "/internal/call";

/// Calls an object.
///
/// # Errors
/// When the object could not be reached or failed. It is then unknown whether it has carried out the call.
pub async fn call<C: Serialize, R: DeserializeOwned>(object: &Stub, call: &C) -> Result<R> {
    let mut response = send(object, call).await?;
    // Read as bytes, because JavaScript strings may take two bytes per character. It must be read in any case: an
    // unread body keeps the called object from hibernating.
    let body = response.bytes().await?;
    match response.status_code() {
        200 => Ok(serde_json::from_slice(&body)?),
        status => {
            let text = String::from_utf8_lossy(&body);
            Err(Error::RustError(format!("the object answered with status {status}: {}", text.trim())))
        }
    }
}

/// Calls an object and returns its response as it is, to be passed on.
///
/// # Errors
/// When the object could not be reached.
pub async fn send<C: Serialize>(object: &Stub, call: &C) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(JsValue::from_str(&serde_json::to_string(call)?)));
    // The host does not matter: the stub leads to the object.
    let request = Request::new_with_init(&format!("https://object{CALL_PATH}"), &init)?;
    object.fetch_with_request(request).await
}

/// Parses a request as a call, if it is one.
///
/// # Errors
/// When this object does not know the call.
pub async fn receive<C: DeserializeOwned>(request: &mut Request) -> Result<Option<C>> {
    if request.method() != Method::Post || request.path() != CALL_PATH {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&request.bytes().await?)?))
}

/// The response to a call.
///
/// # Errors
/// When the runtime refuses to build it.
pub fn reply<R: Serialize>(reply: &R) -> Result<Response> {
    let mut response = Response::from_bytes(serde_json::to_vec(reply)?)?;
    response.headers_mut().set("content-type", "application/json")?;
    Ok(response)
}
