//! The native host of the gateway: it counts requests in the agent's database, and has a limit on those in progress.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::http::{Body, Parts, Response, StatusCode, response};
use tokio::sync::Semaphore;

use super::audit_folder::AuditFolder;
use super::mailbox::AgentMailbox;
use crate::audit::{AuditError, AuditRecord, AuditStore};
use crate::engine::{ClientAdmission, CountedRequest, StateQuery, StateReply};
use crate::gateway::{GatewayError, GatewayHost, GatewayService, respond_with_error};

/// The most requests in progress: each may hold its body and the backend's response in memory, 1.25 MiB together.
const MAX_IN_PROGRESS: usize = 512;

/// How long the agent's database may take.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);

/// The gateway of this process.
pub(super) struct NativeGateway {
    service: GatewayService,
    host: Arc<NativeGatewayHost>,
    in_progress: Arc<Semaphore>,
}

struct NativeGatewayHost {
    agent: AgentMailbox,
    audit: AuditFolder,
}

impl NativeGateway {
    pub(super) fn new(service: GatewayService, agent: AgentMailbox, audit: AuditFolder) -> Self {
        if service.config.backend.is_none() {
            tracing::warn!(
                "the gateway answers with status 503: set AUMOS_API_URL to the URL of its backend"
            );
        }
        let host = Arc::new(NativeGatewayHost { agent, audit });
        Self { service, host, in_progress: Arc::new(Semaphore::new(MAX_IN_PROGRESS)) }
    }

    /// Answers `POST /` of the client with this address. If the client goes away meanwhile, its request is nevertheless
    /// carried out to its end, and recorded.
    pub(super) async fn answer(&self, address: IpAddr, parts: Parts, body: Body) -> Response {
        let Ok(place) = Arc::clone(&self.in_progress).try_acquire_owned() else {
            return respond_with_error(&GatewayError::Busy);
        };
        let (service, host) = (self.service.clone(), Arc::clone(&self.host));
        let answered = tokio::spawn(async move {
            let _place = place;
            service.answer(&*host, Some(address), &parts, body).await
        });
        answered.await.unwrap_or_else(|_| {
            response::error(StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed; its log has the reason.")
        })
    }
}

impl NativeGatewayHost {
    async fn query(&self, query: StateQuery) -> Option<StateReply> {
        match tokio::time::timeout(DATABASE_TIMEOUT, self.agent.query_state(query)).await {
            Ok(Ok(reply)) => Some(reply),
            failed => {
                tracing::warn!(?failed, "the agent's database failed a request to the gateway");
                None
            }
        }
    }
}

#[async_trait]
impl GatewayHost for NativeGatewayHost {
    async fn count(&self, request: CountedRequest) -> Result<ClientAdmission, GatewayError> {
        match self.query(StateQuery::CountRequest(request)).await {
            Some(StateReply::Admission(admission)) => Ok(admission),
            _ => Err(GatewayError::NoDatabase),
        }
    }

    fn audit_store(&self) -> Result<&dyn AuditStore, AuditError> {
        Ok(&self.audit)
    }

    async fn keep(&self, record: AuditRecord) -> Result<(), GatewayError> {
        match self.query(StateQuery::KeepAuditRecord(record)).await {
            Some(StateReply::Answer(true)) => Ok(()),
            _ => Err(GatewayError::NoAudit),
        }
    }
}
