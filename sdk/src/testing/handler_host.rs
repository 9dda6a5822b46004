//! The `HandlerHost` of a test: what running handlers can use.

use std::sync::Arc;

use async_trait::async_trait;
use openagents_host::net::{
    AllowedOrigins, HttpError, HttpRequest, HttpResponse, Reach, RelayError, RelayLimits,
};
use openagents_host::{Event, Keys, SqlError, VerifiedEvent};
use openagents_relay::Filter;
use tokio::sync::{mpsc, oneshot};

use super::web::Web;
use crate::declared_variables::DeclaredVariables;
use crate::engine::{Input, Lease, Report, StateQuery, StateReply};
use crate::error::JobError;
use crate::host_port::HandlerHost;

/// A request from a running handler to its test host.
pub(super) enum HostRequest {
    /// Pass an input to the engine.
    Tell(Input),
    /// Query the agent's database.
    Ask(StateQuery, oneshot::Sender<Result<StateReply, SqlError>>),
    /// Read events from the agent's own relay.
    Query(Vec<Filter>, oneshot::Sender<Result<Vec<Event>, RelayQueryError>>),
    /// Read events from an external relay.
    ExternalEvents(String, Vec<Filter>, oneshot::Sender<Vec<VerifiedEvent>>),
}

pub(super) struct TestHandlerHost {
    pub(super) keys: Keys,
    pub(super) variables: DeclaredVariables,
    pub(super) requests: mpsc::UnboundedSender<HostRequest>,
    pub(super) web: Arc<Web>,
}

/// The test has ended.
#[derive(Debug, thiserror::Error)]
#[error("the test is over")]
struct TestOver;

/// The agent's own relay failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct RelayQueryError(pub(super) String);

impl TestHandlerHost {
    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> HostRequest,
    ) -> Result<T, TestOver> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(request(answer));
        answered.await.map_err(|_| TestOver)
    }
}

#[async_trait]
impl HandlerHost for TestHandlerHost {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn reach(&self) -> Reach {
        Reach::Public
    }

    fn allowed_origins(&self) -> AllowedOrigins {
        self.web.allowed_origins.clone()
    }

    fn variables(&self) -> &DeclaredVariables {
        &self.variables
    }

    fn report(&self, lease: Lease, report: Report) {
        let _ = self.requests.send(HostRequest::Tell(Input::Reported { lease, report }));
    }

    async fn query_state(&self, query: StateQuery) -> Result<StateReply, JobError> {
        Ok(self.request(|answer| HostRequest::Ask(query, answer)).await??)
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        Ok(self.request(|answer| HostRequest::Query(filters, answer)).await??)
    }

    async fn external_events(
        &self,
        relay: &str,
        filters: Vec<Filter>,
        _: RelayLimits,
    ) -> Result<Vec<VerifiedEvent>, RelayError> {
        let relay = relay.to_owned();
        let asked = self.request(|answer| HostRequest::ExternalEvents(relay, filters, answer)).await;
        asked.map_err(|TestOver| RelayError::Disconnected)
    }

    async fn send_http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.web.send(request).await
    }
}
