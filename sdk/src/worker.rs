//! The Cloudflare host: the Worker, which finds routes, and the Durable Objects behind it.
//!
//! `deployment!` wraps these in the classes and the `fetch` function that the runtime calls.

mod agent_object;
mod audit_bucket;
mod blob_index_object;
mod calls;
mod entry;
mod gateway;
mod job_uploads;
mod jobs;
mod relay_object;

pub use agent_object::AgentObject;
pub use blob_index_object::{BlobIndexObject, blob_index_object};
pub use entry::fetch;
pub use relay_object::{RelayObject, relay_object};

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use openagents_host::http::HeaderName;
use tracing::Level;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::future_to_promise;
use worker::{Env, WebSocketIncomingMessage, js_sys};

use crate::log::{ConsoleSubscriber, LevelFilter, LogFormat};

/// The header in which Cloudflare tells the client's address.
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("cf-connecting-ip");

/// How long one object may take to answer another. A call to a failing object may never return.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// Writes the lines of `tracing` to the console. The first call counts: the variables of a deployment do not change.
fn log_to_console(level: LevelFilter, format: LogFormat) {
    let write = |level: Level, line: &str| match level {
        Level::ERROR => worker::console_error!("{line}"),
        Level::WARN => worker::console_warn!("{line}"),
        Level::INFO => worker::console_log!("{line}"),
        Level::DEBUG | Level::TRACE => worker::console_debug!("{line}"),
    };
    let _ = tracing::subscriber::set_global_default(ConsoleSubscriber::new(level, format, write));
}

/// A variable or secret of the deployment.
fn variable(env: &Env, name: &str) -> Option<String> {
    env.var(name).ok().map(|value| value.to_string())
}

/// Awaits a handler and converts its result for the runtime.
///
/// # Errors
/// The handler's error.
pub async fn wasm_result<T: IntoWasm>(
    work: impl Future<Output = worker::Result<T>>,
) -> Result<JsValue, JsValue> {
    work.await.map(T::into_wasm).map_err(JsValue::from)
}

/// Converts the result of a finished handler for the runtime, or returns a promise of it.
///
/// # Errors
/// The handler's error.
pub fn wasm_result_or_promise<F>(work: worker::Result<Option<F>>) -> Result<JsValue, JsValue>
where
    F: Future<Output = worker::Result<()>> + 'static,
{
    match work {
        Ok(Some(rest)) => Ok(future_to_promise(AssertUnwindSafe(wasm_result(rest))).into()),
        Ok(None) => Ok(JsValue::UNDEFINED),
        Err(error) => Err(error.into()),
    }
}

/// A handler's return type.
pub trait IntoWasm {
    /// Converts the value for the runtime.
    fn into_wasm(self) -> JsValue;
}

impl IntoWasm for () {
    fn into_wasm(self) -> JsValue {
        JsValue::NULL
    }
}

impl IntoWasm for worker::Response {
    fn into_wasm(self) -> JsValue {
        JsValue::from(worker::worker_sys::web_sys::Response::from(self))
    }
}

/// A message of a hibernatable WebSocket.
#[must_use]
pub fn incoming(message: &JsValue) -> WebSocketIncomingMessage {
    match message.as_string() {
        Some(text) => WebSocketIncomingMessage::String(text),
        None => WebSocketIncomingMessage::Binary(js_sys::Uint8Array::new(message).to_vec()),
    }
}
