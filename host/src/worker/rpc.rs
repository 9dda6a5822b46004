//! Calls between the Durable Objects of a deployment: one POST of a serialized request, answered by a serialized
//! reply.
//!
//! Requests and replies are enums. Calls cannot come from outside: the Worker routes no public request to
//! [`CALL_PATH`].

use ::worker::js_sys::Uint8Array;
use ::worker::wasm_bindgen::JsValue;
use ::worker::wasm_bindgen_futures::JsFuture;
use ::worker::{Error, Method, Request, RequestInit, Response, ResponseBody, Result, Stub, web_sys};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The path of every call. The Worker must never route public requests here, because limits for clients do not apply.
pub const CALL_PATH: &str = "/internal/call";

/// Calls an object.
///
/// # Errors
/// When the object could not be reached or failed. It is then unknown whether it has carried out the call.
pub async fn call<C: Serialize, R: DeserializeOwned>(object: &Stub, call: &C) -> Result<R> {
    let response = send(object, call).await?;
    let status = response.status_code();
    // It must be read in any case: an unread body keeps the called object from hibernating.
    let body = body(response).await?;
    match status {
        200 => Ok(serde_json::from_slice(&body)?),
        status => {
            let text = String::from_utf8_lossy(&body);
            Err(Error::RustError(format!("the object answered with status {status}: {}", text.trim())))
        }
    }
}

/// The body of a reply, whose length the called object limits. The runtime collects it: the `worker` crate would wait
/// for each chunk. As bytes, because JavaScript strings may take two bytes per character.
async fn body(response: Response) -> Result<Vec<u8>> {
    let stream = match response.into_parts().1 {
        ResponseBody::Empty => return Ok(Vec::new()),
        ResponseBody::Body(bytes) => return Ok(bytes),
        ResponseBody::Stream(stream) => stream,
    };
    let bytes = web_sys::Response::new_with_opt_readable_stream(Some(&stream))?.array_buffer()?;
    Ok(Uint8Array::new(&JsFuture::from(bytes).await?).to_vec())
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
