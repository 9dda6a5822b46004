//! What a relay in workerd is measured against: an object that does nothing, and what verification costs alone.
//!
//! - Over a WebSocket, every `EVENT` is answered with `OK`, unread but for the id, and that by its place in the text. It is
//!   what a message costs before a relay has done anything, through the same sockets and bindings.
//! - `GET /verify/ours`, `/verify/k256` and `/hash` answer with the microseconds that one signature or one id takes.
//!   `?count=5000&authors=20` says how many, and of how many authors.

#![cfg(target_arch = "wasm32")]

mod verification;

// What `#[durable_object]` writes needs more names than this file does.
use worker::*;

/// Measures, or leads a socket to the one object.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _: Context) -> Result<Response> {
    match verification::measured(&request.url()?) {
        Some(microseconds) => Response::ok(format!("{microseconds:.1}\n")),
        None => env.durable_object("ECHO")?.get_by_name("echo")?.fetch_with_request(request).await,
    }
}

/// Takes sockets that outlive its memory, and answers what comes over them.
#[durable_object]
pub struct EchoObject {
    state: State,
}

impl DurableObject for EchoObject {
    fn new(state: State, _: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        if request.headers().get("upgrade")?.is_none() {
            return Response::error("Connect with a WebSocket.\n", 426);
        }
        let pair = WebSocketPair::new()?;
        self.state.accept_web_socket(&pair.server);
        Response::from_websocket(pair.client)
    }

    async fn websocket_message(&self, socket: WebSocket, message: WebSocketIncomingMessage) -> Result<()> {
        let WebSocketIncomingMessage::String(text) = message else { return Ok(()) };
        match id(&text) {
            Some(id) => socket.send_with_str(format!(r#"["OK","{id}",true,""]"#)),
            None => socket.send_with_str(r#"["NOTICE","this is no event"]"#),
        }
    }

    async fn websocket_close(&self, socket: WebSocket, _: usize, _: String, _: bool) -> Result<()> {
        // The client may be gone already.
        let _ = socket.close(Some(1000), Some(""));
        Ok(())
    }

    async fn websocket_error(&self, _: WebSocket, _: Error) -> Result<()> {
        Ok(())
    }

    async fn alarm(&self) -> Result<Response> {
        Response::empty()
    }
}

/// The 64 digits after `"id":"`, unless something else is there.
fn id(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(r#""id":""#)?;
    rest.get(..64).filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
