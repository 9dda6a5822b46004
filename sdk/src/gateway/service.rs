//! `GatewayService`: the way of a request through the gateway, the same on both hosts.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::http::response::{self, private, with_header};
use openagents_host::http::{
    Body, BodyError, Bytes, HeaderName, HeaderValue, Parts, Response, StatusCode, header, header_text,
};
use openagents_host::timeout;
use openagents_relay::admission::Network;
use serde_json::value::RawValue;

use super::backend::Backend;
use super::error::GatewayError;
use super::message::AgentResponse;
use super::schema::Gateway;
use crate::clock::now;
use crate::engine::ClientAdmission;
use crate::send::Shareable;

/// The longest body of a request, in bytes.
const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// How long the body of a request may take to arrive.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(10);

/// The header that names a request, in responses and to the backend.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A deployment's settings for its gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayConfig {
    /// Where requests are forwarded to, if the operator has said it.
    pub(crate) backend: Option<Backend>,
    /// How many requests a client may send per minute; a client that was idle, at once. `None` for no limit.
    pub(crate) max_requests_per_minute: Option<NonZeroU32>,
    /// Whether the limit also applies to clients on this machine.
    pub(crate) limits_loopback: bool,
}

/// What a gateway needs from its host.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait GatewayHost: Shareable {
    /// Counts a request of this client in the agent's database.
    async fn admit(&self, client: String, per_minute: NonZeroU32) -> Result<ClientAdmission, GatewayError>;
}

/// A deployment's gateway.
#[derive(Clone, Debug)]
pub(crate) struct GatewayService {
    pub(crate) gateway: Gateway,
    pub(crate) config: GatewayConfig,
}

impl GatewayService {
    /// Answers `POST /`. `address` is the client's, if it is known.
    pub(crate) async fn answer(
        &self,
        host: &dyn GatewayHost,
        address: Option<IpAddr>,
        parts: &Parts,
        body: Body,
    ) -> Response {
        let Some(id) = request_id() else { return respond_with_error(&GatewayError::NoDatabase) };
        let response = match self.result(host, address, parts, body, &id).await {
            Ok(result) => respond(&result),
            Err(error) => respond_with_error(&error),
        };
        match HeaderValue::try_from(id) {
            Ok(id) => with_header(response, REQUEST_ID, id),
            Err(_) => response,
        }
    }

    /// A malformed request counts too: its client may not send more of them than of others.
    async fn result(
        &self,
        host: &dyn GatewayHost,
        address: Option<IpAddr>,
        parts: &Parts,
        body: Body,
        id: &str,
    ) -> Result<Box<RawValue>, GatewayError> {
        let read = read_body(parts, body).await.and_then(|body| {
            let action = self.gateway.action_of(&body)?;
            Ok((action, body))
        });
        self.admit(host, address).await?;
        let (action, body) = read?;
        let backend = self.config.backend.as_ref().ok_or(GatewayError::NoBackend)?;
        let result = backend.forward(&body, id).await?;
        tracing::debug!(id, action, "forwarded");
        self.checked(&result)
    }

    async fn admit(&self, host: &dyn GatewayHost, address: Option<IpAddr>) -> Result<(), GatewayError> {
        let network = address.map(Network::of);
        // An unknown address belongs to a developer's machine, because Cloudflare always reports the address.
        let is_local = network.is_none_or(Network::is_loopback);
        let Some(per_minute) = self.config.max_requests_per_minute else { return Ok(()) };
        if is_local && !self.config.limits_loopback {
            return Ok(());
        }
        let client = network.map_or_else(|| "unknown".to_owned(), |network| network.to_string());
        match host.admit(client, per_minute).await? {
            ClientAdmission::Admitted => Ok(()),
            ClientAdmission::Refused { retry_after } => Err(GatewayError::RateLimited { retry_after }),
        }
    }

    fn checked(&self, result: &Bytes) -> Result<Box<RawValue>, GatewayError> {
        self.gateway.check_result(result).map_err(|error| {
            tracing::warn!(%error, "the gateway's backend answered with another type");
            GatewayError::BackendResponse("it is not the expected JSON")
        })?;
        let not_json = GatewayError::BackendResponse("it is not JSON");
        let text = String::from_utf8(result.to_vec()).map_err(|_| not_json.clone())?;
        RawValue::from_string(text).map_err(|_| not_json)
    }
}

async fn read_body(parts: &Parts, body: Body) -> Result<Bytes, GatewayError> {
    let encoding = header_text(&parts.headers, &header::CONTENT_ENCODING);
    if !is_json(parts) || !matches!(encoding, "" | "identity") {
        return Err(GatewayError::MediaType);
    }
    match timeout(MAX_REQUEST_TIME, body.read_to_end(MAX_REQUEST_BYTES)).await {
        Some(Ok(body)) => Ok(body),
        Some(Err(BodyError::TooLong { .. })) => Err(GatewayError::TooLong { max_bytes: MAX_REQUEST_BYTES }),
        Some(Err(_)) => Err(GatewayError::Interrupted),
        None => Err(GatewayError::SlowBody { limit: MAX_REQUEST_TIME }),
    }
}

fn is_json(parts: &Parts) -> bool {
    let media_type = header_text(&parts.headers, &header::CONTENT_TYPE).split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// 128 random bits in hex; `None` if the system has none.
fn request_id() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn respond(result: &RawValue) -> Response {
    send(StatusCode::OK, &AgentResponse::Success { result, timestamp: now() })
}

/// The response to a request without a result.
pub(crate) fn respond_with_error(error: &GatewayError) -> Response {
    let body = AgentResponse::<()>::Error { error: error.details(), timestamp: now() };
    let response = send(error.status(), &body);
    match error.retry_after() {
        Some(seconds) => with_header(response, header::RETRY_AFTER, HeaderValue::from(seconds)),
        None => response,
    }
}

fn send<R: serde::Serialize>(status: StatusCode, body: &AgentResponse<R>) -> Response {
    // Its parts can all be written as JSON.
    private(response::json(status, serde_json::to_string(body).unwrap_or_default()))
}
