//! The `HandlerHost` of a test.

use std::sync::Arc;

use async_trait::async_trait;
use openagents_host::outgoing::{FetchError, FetchRequest, Fetched, Reach};
use openagents_host::{Event, Keys};
use openagents_relay::Filter;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::web::Web;
use crate::engine::{Input, Lease, Report, StateQuery};
use crate::error::JobError;
use crate::host_port::HandlerHost;

/// What a running handler asks of its test host.
pub(super) enum HostRequest {
    /// To tell the engine something.
    Tell(Input),
    /// To ask the agent's database.
    Ask(StateQuery, oneshot::Sender<Result<Value, String>>),
    /// To ask the agent's own relay.
    Query(Vec<Filter>, oneshot::Sender<Result<Vec<Event>, String>>),
}

pub(super) struct TestHandlerHost {
    pub(super) keys: Keys,
    pub(super) requests: mpsc::UnboundedSender<HostRequest>,
    pub(super) web: Arc<Web>,
}

/// The test host refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl TestHandlerHost {
    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, String>>) -> HostRequest,
    ) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(request(answer));
        let gone = || Refused("the test is over".to_owned());
        answered.await.map_err(|_| gone())?.map_err(Refused)
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

    fn report(&self, lease: Lease, report: Report) {
        let _ = self.requests.send(HostRequest::Tell(Input::Reported { lease, report }));
    }

    async fn query_state(&self, query: StateQuery) -> Result<Value, JobError> {
        Ok(self.request(|answer| HostRequest::Ask(query, answer)).await?)
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        Ok(self.request(|answer| HostRequest::Query(filters, answer)).await?)
    }

    async fn fetch(&self, request: FetchRequest) -> Result<Fetched, FetchError> {
        self.web.fetch(&request)
    }
}
