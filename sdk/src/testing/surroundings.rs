//! What running handlers have around them in a test.

use std::sync::Arc;

use async_trait::async_trait;
use openagents_host::outgoing::{FetchError, FetchRequest, Fetched, Reach};
use openagents_host::{Event, Keys};
use openagents_relay::Filter;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::web::Web;
use crate::engine::{Input, Inquiry, Lease, Report};
use crate::error::JobError;
use crate::surroundings::Surroundings;

/// What a handler wants of the stage that it runs on.
pub(super) enum Wish {
    /// To tell the engine something.
    Tell(Input),
    /// To ask the agent's database.
    Ask(Inquiry, oneshot::Sender<Result<Value, String>>),
    /// To ask the agent's own relay.
    Query(Vec<Filter>, oneshot::Sender<Result<Vec<Event>, String>>),
}

pub(super) struct TestSurroundings {
    pub(super) keys: Keys,
    pub(super) wishes: mpsc::UnboundedSender<Wish>,
    pub(super) web: Arc<Web>,
}

/// The stage said no.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl TestSurroundings {
    async fn wish<T>(
        &self,
        wish: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Wish,
    ) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        let _ = self.wishes.send(wish(answer));
        let gone = || Refused("the test is over".to_owned());
        answered.await.map_err(|_| gone())?.map_err(Refused)
    }
}

#[async_trait]
impl Surroundings for TestSurroundings {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn reach(&self) -> Reach {
        Reach::Public
    }

    fn report(&self, lease: Lease, report: Report) {
        let _ = self.wishes.send(Wish::Tell(Input::Reported { lease, report }));
    }

    async fn inquire(&self, inquiry: Inquiry) -> Result<Value, JobError> {
        Ok(self.wish(|answer| Wish::Ask(inquiry, answer)).await?)
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        Ok(self.wish(|answer| Wish::Query(filters, answer)).await?)
    }

    async fn fetch(&self, request: FetchRequest) -> Result<Fetched, FetchError> {
        self.web.fetch(&request)
    }
}
