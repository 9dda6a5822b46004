//! The native host of the gateway: it counts requests in the agent's database, and has a limit on those in progress.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::http::{Body, Parts, Response};
use tokio::sync::Semaphore;

use super::mailbox::AgentMailbox;
use crate::engine::{ClientAdmission, StateQuery, StateReply};
use crate::gateway::{GatewayError, GatewayHost, GatewayService, respond_with_error};

/// The most requests in progress: each may hold its body and the backend's response in memory, 1.25 MiB together.
const MAX_IN_PROGRESS: usize = 512;

/// How long the agent's database may take to count a request.
const COUNT_TIMEOUT: Duration = Duration::from_secs(5);

/// The gateway of this process.
pub(super) struct NativeGateway {
    service: GatewayService,
    host: AgentDatabase,
    in_progress: Semaphore,
}

struct AgentDatabase(AgentMailbox);

impl NativeGateway {
    pub(super) fn new(service: GatewayService, agent: AgentMailbox) -> Self {
        if service.config.backend.is_none() {
            tracing::warn!(
                "the gateway answers with status 503: set AUMOS_API_URL to the URL of its backend"
            );
        }
        Self { service, host: AgentDatabase(agent), in_progress: Semaphore::new(MAX_IN_PROGRESS) }
    }

    /// Answers `POST /` of the client with this address.
    pub(super) async fn answer(&self, address: IpAddr, parts: &Parts, body: Body) -> Response {
        let Ok(_place) = self.in_progress.try_acquire() else {
            return respond_with_error(&GatewayError::Busy);
        };
        self.service.answer(&self.host, Some(address), parts, body).await
    }
}

#[async_trait]
impl GatewayHost for AgentDatabase {
    async fn admit(&self, client: String, per_minute: NonZeroU32) -> Result<ClientAdmission, GatewayError> {
        let asked = self.0.query_state(StateQuery::AdmitClient { client, per_minute });
        match tokio::time::timeout(COUNT_TIMEOUT, asked).await {
            Ok(Ok(StateReply::Admission(admission))) => Ok(admission),
            failed => {
                tracing::warn!(?failed, "a request to the gateway could not be counted");
                Err(GatewayError::NoDatabase)
            }
        }
    }
}
