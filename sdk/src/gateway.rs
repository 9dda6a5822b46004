//! The gateway of a deployment: `POST /` with JSON is checked, limited per client, and forwarded to the operator's backend.
//!
//! ```text
//! {"action": "evaluate", "payload": {"prompt": "hello", "context": {}}}
//!     → the backend at AUMOS_API_URL, with the secret AUMOS_API_KEY as bearer token
//!     ← {"status": "success", "result": …, "timestamp": "2026-12-01T09:30:00.000Z"}
//! ```
//!
//! A deployment has a gateway if it says so: `deployment! { agents: [MyAgent], gateway: Gateway::new() }`. Everybody may use
//! it, each client within `GATEWAY_MAX_REQUESTS_PER_MINUTE`.

mod backend;
mod error;
mod json_depth;
mod message;
mod schema;
mod service;

pub use message::{AgentRequest, AgentResponse, ErrorDetails, PromptPayload};
pub use schema::Gateway;

pub(crate) use backend::Backend;
pub(crate) use error::GatewayError;
pub(crate) use service::{GatewayConfig, GatewayHost, GatewayService, respond_with_error};
