//! `GatewayService`: the way of a request through the gateway, the same on both hosts.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::http::response::{self, private, with_header};
use openagents_host::http::{
    Body, BodyError, Bytes, HeaderName, HeaderValue, Parts, Response, StatusCode, header, header_text,
};
use openagents_host::{Timestamp, timeout};
use openagents_relay::admission::Network;
use serde_json::value::RawValue;

use super::backend::{Backend, Forwarded};
use super::error::GatewayError;
use super::message::AgentResponse;
use super::schema::{Gateway, ReadRequest};
use crate::audit::{AuditError, AuditRecord, AuditStore, RequestAudit, store};
use crate::clock::now;
use crate::engine::{ClientAdmission, CountedRequest};
use crate::send::Shareable;

/// The longest body of a request, in bytes.
const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// How long the body of a request may take to arrive.
const MAX_REQUEST_TIME: Duration = Duration::from_secs(10);

/// How long the bucket or the disk may take to store an audit record.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Whether audit records have the payloads of requests, and not only their hashes.
    pub(crate) audits_payloads: bool,
}

/// What a gateway needs from its host.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait GatewayHost: Shareable {
    /// Counts a request in the agent's database.
    async fn count(&self, request: CountedRequest) -> Result<ClientAdmission, GatewayError>;

    /// Where audit records are stored.
    fn audit_store(&self) -> Result<&dyn AuditStore, AuditError>;

    /// Has the agent's database keep a record, until it can be stored.
    async fn keep(&self, record: AuditRecord) -> Result<(), GatewayError>;
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
        let begun = now();
        let network = address.map(Network::of);
        let response = match self.admitted(host, network, parts, body).await {
            Ok(request) => self.answer_admitted(host, network, &request, &id, begun).await,
            Err(error) => respond_with_error(&error),
        };
        match HeaderValue::try_from(id) {
            Ok(id) => with_header(response, REQUEST_ID, id),
            Err(_) => response,
        }
    }

    /// Reads and counts a request. One that is malformed counts too: its client may not send more of them than of others.
    async fn admitted(
        &self,
        host: &dyn GatewayHost,
        network: Option<Network>,
        parts: &Parts,
        body: Body,
    ) -> Result<ReadRequest, GatewayError> {
        // Without a place for its record, a request is not carried out.
        host.audit_store().map_err(|_| GatewayError::NoAuditStore)?;
        let request = read_body(parts, body).await.and_then(|body| self.gateway.read(body));
        // An unknown address belongs to a developer's machine, because Cloudflare always reports the address.
        let is_exempt = !self.config.limits_loopback && network.is_none_or(Network::is_loopback);
        let counted = CountedRequest {
            client: network.map_or_else(|| "unknown".to_owned(), |network| network.to_string()),
            per_minute: self.config.max_requests_per_minute.filter(|_| !is_exempt),
            is_well_formed: request.is_ok(),
        };
        if counted.per_minute.is_none() && counted.is_well_formed {
            return request;
        }
        match host.count(counted).await? {
            ClientAdmission::Admitted => request,
            ClientAdmission::Refused { retry_after } => Err(GatewayError::RateLimited { retry_after }),
        }
    }

    /// Carries out a request, and answers once its record is stored or kept.
    async fn answer_admitted(
        &self,
        host: &dyn GatewayHost,
        network: Option<Network>,
        request: &ReadRequest,
        id: &str,
        begun: Timestamp,
    ) -> Response {
        let forwarded = match &self.config.backend {
            Some(backend) => backend.forward(&request.body, id).await,
            None => Forwarded { backend_status: None, result: Err(GatewayError::NoBackend) },
        };
        let response = match forwarded.result.and_then(|result| self.checked(&result)) {
            Ok(result) => respond(&result),
            Err(error) => respond_with_error(&error),
        };
        let client = network.map(|network| network.to_string());
        let audit = RequestAudit {
            id,
            client: client.as_deref(),
            action: &request.action,
            payload: &request.payload,
            has_payload: self.config.audits_payloads,
            status: response.status().as_u16(),
            backend_status: forwarded.backend_status,
            begun,
            ended: now(),
        };
        match record(host, audit.record()).await {
            Ok(()) => response,
            Err(error) => respond_with_error(&error),
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

/// Stores a record; if that fails, the agent's database keeps it and tries again.
async fn record(host: &dyn GatewayHost, record: AuditRecord) -> Result<(), GatewayError> {
    let stored = match host.audit_store() {
        Ok(audit) => timeout(AUDIT_TIMEOUT, store(audit, &record)).await,
        Err(error) => Some(Err(error)),
    };
    match stored {
        Some(Ok(())) => return Ok(()),
        Some(Err(error)) => tracing::warn!(%error, "an audit record is kept in the agent's database"),
        None => tracing::warn!("an audit record is kept in the agent's database: storing it took too long"),
    }
    host.keep(record).await
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
