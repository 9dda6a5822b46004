//! A Worker against which a relay in workerd is compared: an object that does nothing, and the cost of verification
//! alone.
//!
//! - Over a WebSocket, every `EVENT` is answered with `OK`. The message is not parsed; the id is taken from its
//!   position in the text. This is the cost of a message before a relay does anything, through the same sockets and
//!   bindings.
//! - `GET /verify/ours`, `/verify/batch`, `/verify/k256` and `/hash` return the microseconds that one signature or id takes.
//!   `?count=5000&authors=20` sets how many, and by how many authors.

#![cfg(target_arch = "wasm32")]

mod verification;

use std::panic::AssertUnwindSafe;

use worker::wasm_bindgen::prelude::*;
use worker::worker_sys::{self, web_sys};
use worker::{Context, Env, Request, Response, Result, State, WebSocket, WebSocketPair, event, wasm_bindgen};

/// Measures, or passes a socket to the object.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _: Context) -> Result<Response> {
    match verification::measured(&request.url()?) {
        Some(microseconds) => Response::ok(format!("{microseconds:.1}\n")),
        None => env.durable_object("ECHO")?.get_by_name("echo")?.fetch_with_request(request).await,
    }
}

/// Accepts hibernatable sockets and answers their messages. Written without the `worker` crate's macro, as the SDK's
/// objects are: the macro makes every handler a promise, which costs as much as everything else here.
#[wasm_bindgen(wasm_bindgen = ::worker::wasm_bindgen)]
pub struct EchoObject(AssertUnwindSafe<State>);

#[wasm_bindgen(
    wasm_bindgen = ::worker::wasm_bindgen,
    wasm_bindgen_futures = ::worker::wasm_bindgen_futures,
    js_sys = ::worker::js_sys
)]
impl EchoObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: worker_sys::DurableObjectState, _: Env) -> Self {
        Self(AssertUnwindSafe(State::from(state)))
    }

    #[wasm_bindgen(js_name = fetch)]
    pub async fn fetch(&self, _: web_sys::Request) -> std::result::Result<JsValue, JsValue> {
        AssertUnwindSafe(async {
            let pair = WebSocketPair::new()?;
            self.0.accept_web_socket(&pair.server);
            Ok(web_sys::Response::from(Response::from_websocket(pair.client)?).into())
        })
        .await
    }

    #[wasm_bindgen(js_name = webSocketMessage)]
    pub fn websocket_message(
        &self,
        socket: web_sys::WebSocket,
        message: JsValue,
    ) -> std::result::Result<(), JsValue> {
        let text = message.as_string().unwrap_or_default();
        let answer = match id(&text) {
            Some(id) => format!(r#"["OK","{id}",true,""]"#),
            None => r#"["NOTICE","this is no event"]"#.to_owned(),
        };
        Ok(WebSocket::from(socket).send_with_str(answer)?)
    }

    #[wasm_bindgen(js_name = webSocketClose)]
    pub fn websocket_close(&self, socket: web_sys::WebSocket, _: usize, _: String, _: bool) {
        // The client may have disconnected.
        let _ = WebSocket::from(socket).close(Some(1000), Some(""));
    }
}

/// The 64 digits after `"id":"`, if there are any.
fn id(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(r#""id":""#)?;
    rest.get(..64).filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
