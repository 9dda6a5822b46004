//! Sends requests and state queries to the agent's engine thread and awaits the replies.

use openagents_host::native::{Mailbox, Tickets};
use openagents_host::{SqlError, VerifiedEvent};
use serde_json::Value;

use crate::engine::{Input, RequestAdmission, StateQuery};

/// The agent has ended, or its database failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct AgentError(String);

impl AgentError {
    fn stopped() -> Self {
        Self("the agent has stopped".to_owned())
    }
}

/// Asks the agent's engine. Clones ask the same one.
#[derive(Clone)]
pub(crate) struct AgentMailbox {
    pub(super) engine: Mailbox<Input>,
    pub(super) taken: Tickets<Result<RequestAdmission, SqlError>>,
    pub(super) answered: Tickets<Result<Value, String>>,
}

impl AgentMailbox {
    /// Gives the agent an event from its own relay, or from the external relay `source`; returns when it is on record.
    pub(super) async fn take(
        &self,
        event: VerifiedEvent,
        source: Option<String>,
    ) -> Result<RequestAdmission, AgentError> {
        let input = |ticket| Input::Request { event, source, ticket };
        let admission = self.engine.ask(&self.taken, input).await.map_err(|_| AgentError::stopped())?;
        admission.map_err(|error| AgentError(error.to_string()))
    }

    /// Asks the agent's database.
    pub(super) async fn query_state(&self, query: StateQuery) -> Result<Value, AgentError> {
        let input = |ticket| Input::Query { query, ticket };
        let answered = self.engine.ask(&self.answered, input).await.map_err(|_| AgentError::stopped())?;
        answered.map_err(AgentError)
    }
}
