//! `GatewayError`: why a gateway has no result for a request, and what its client is told.

use std::time::Duration;

use openagents_host::http::StatusCode;
use serde_json::Value;

use super::message::ErrorDetails;

/// Why there is no result. The message is for the client; it tells nothing about the backend but what that said.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error(
        "this deployment has no gateway; its relay is at / (WebSocket), and `gateway: Gateway::new()` in `deployment!` adds one"
    )]
    NoGateway,
    #[error("send JSON that is not compressed, with the header `Content-Type: application/json`")]
    MediaType,
    #[error("the body is longer than {max_bytes} bytes")]
    TooLong { max_bytes: usize },
    #[error("the body did not arrive within {} s", limit.as_secs())]
    SlowBody { limit: Duration },
    #[error("the body did not arrive completely")]
    Interrupted,
    #[error("the body is not JSON: {0}")]
    Json(String),
    #[error("the JSON has more than {max_depth} levels")]
    TooDeep { max_depth: usize },
    #[error("the request is not of the form {{\"action\": \"…\", \"payload\": {{…}}}}: {0}")]
    Schema(String),
    #[error("an action is named by 1 to {max_length} letters, digits, `.`, `_` and `-`")]
    Action { max_length: usize },
    #[error("there were too many requests; the next is accepted in {} s", whole_seconds(*retry_after))]
    RateLimited { retry_after: Duration },
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a Worker's runtime has limits of its own"))]
    #[error("the gateway has too many requests in progress; try again")]
    Busy,
    #[error("the agent's database, which counts requests, is not available; try again")]
    NoDatabase,
    #[error("the request could not be recorded in the audit; it may have been carried out")]
    NoAudit,
    #[error("this deployment has no audit: its operator has to bind an R2 bucket as AUDIT in wrangler.toml")]
    NoAuditStore,
    #[error("this deployment has no backend: its operator has to set AUMOS_API_URL")]
    NoBackend,
    #[error("the backend could not be reached")]
    Unreachable,
    #[error("the backend did not answer within {} s", limit.as_secs())]
    BackendTimeout { limit: Duration },
    #[error("the backend is overloaded; try again")]
    BackendBusy { retry_after: Option<Duration> },
    #[error("the backend refused the request with status {status}")]
    BackendRefused { status: StatusCode, details: Option<Value> },
    #[error("the backend failed with status {status}")]
    BackendFailed { status: u16 },
    #[error("the backend's response cannot be used: {0}")]
    BackendResponse(&'static str),
}

impl GatewayError {
    /// The status of the response.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoGateway => StatusCode::NOT_FOUND,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Interrupted
            | Self::Json(_)
            | Self::TooDeep { .. }
            | Self::Schema(_)
            | Self::Action { .. } => StatusCode::BAD_REQUEST,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy
            | Self::NoDatabase
            | Self::NoAudit
            | Self::NoAuditStore
            | Self::NoBackend
            | Self::BackendBusy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::BackendTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::BackendRefused { status, .. } => *status,
            Self::Unreachable | Self::BackendFailed { .. } | Self::BackendResponse(_) => {
                StatusCode::BAD_GATEWAY
            }
        }
    }

    /// The kind of error, for programs. `docs/gateway.md` lists them.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoGateway => "no_gateway",
            Self::MediaType => "unsupported_media_type",
            Self::TooLong { .. } => "too_long",
            Self::SlowBody { .. } => "slow_body",
            Self::Interrupted => "interrupted",
            Self::Json(_) => "invalid_json",
            Self::TooDeep { .. } => "too_deep",
            Self::Schema(_) => "invalid_request",
            Self::Action { .. } => "invalid_action",
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy => "busy",
            Self::NoDatabase => "no_database",
            Self::NoAudit | Self::NoAuditStore => "no_audit",
            Self::NoBackend => "no_backend",
            Self::Unreachable => "backend_unreachable",
            Self::BackendTimeout { .. } => "backend_timeout",
            Self::BackendBusy { .. } => "backend_busy",
            Self::BackendRefused { .. } => "backend_refused",
            Self::BackendFailed { .. } => "backend_failed",
            Self::BackendResponse(_) => "backend_response",
        }
    }

    /// When the client may try again, in whole seconds, if that is known.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after } => Some(whole_seconds(*retry_after)),
            Self::BackendBusy { retry_after } => retry_after.map(whole_seconds),
            Self::Busy | Self::NoDatabase => Some(1),
            _ => None,
        }
    }

    /// What the client is told.
    pub(super) fn details(&self) -> ErrorDetails {
        let details = match self {
            Self::BackendRefused { details, .. } => details.clone(),
            _ => None,
        };
        ErrorDetails { code: self.code().to_owned(), message: self.to_string(), details }
    }
}

/// A duration in seconds, rounded up, and at least 1.
fn whole_seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}
