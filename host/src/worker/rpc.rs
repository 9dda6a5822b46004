//! Calls between the objects of a deployment: one POST of a serialised request, answered with a serialised reply.
//!
//! A call is made of an enum of requests; its reply is an enum as well. Nobody outside can make one: the Worker passes on
//! nothing to [`CALL_PATH`].

use ::worker::wasm_bindgen::JsValue;
use ::worker::{Error, Method, Request, RequestInit, Response, Result, Stub};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The path of every call. The Worker's own routes must never lead here: the limits for strangers do not apply.
pub const CALL_PATH: &str = "/internal/call";

/// Calls an object.
///
/// # Errors
/// When the object could not be reached or failed. Whether it did what it was asked is not known then.
pub async fn call<C: Serialize, R: DeserializeOwned>(object: &Stub, call: &C) -> Result<R> {
    let mut response = send(object, call).await?;
    // Bytes and not a text, which JavaScript would keep at two bytes for each of them. And in any case: a body that
    // nobody reads keeps the called object from hibernating.
    let body = response.bytes().await?;
    match response.status_code() {
        200 => Ok(serde_json::from_slice(&body)?),
        status => {
            let text = String::from_utf8_lossy(&body);
            Err(Error::RustError(format!("the object answered with status {status}: {}", text.trim())))
        }
    }
}

/// Calls an object whose response is not a reply of ours, but is passed on.
///
/// # Errors
/// When the object could not be reached.
pub async fn send<C: Serialize>(object: &Stub, call: &C) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(JsValue::from_str(&serde_json::to_string(call)?)));
    // The host is not looked at: the stub leads to the object.
    let request = Request::new_with_init(&format!("https://object{CALL_PATH}"), &init)?;
    object.fetch_with_request(request).await
}

/// The call that a request is, if it is one.
///
/// # Errors
/// When it is none that this object knows.
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
