//! Sends requests and state queries to the agent's engine thread and awaits the replies.

use openagents_host::native::{EngineStopped, Mailbox, Tickets};
use openagents_host::{SqlError, VerifiedEvent};

use crate::engine::{Input, RequestAdmission, StateQuery, StateReply};

/// Why the agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("the agent has stopped")]
    Stopped(#[from] EngineStopped),
    #[error(transparent)]
    Database(#[from] SqlError),
}

/// Asks the agent's engine. Clones ask the same one.
#[derive(Clone)]
pub(crate) struct AgentMailbox {
    pub(super) engine: Mailbox<Input>,
    pub(super) taken: Tickets<Result<RequestAdmission, SqlError>>,
    pub(super) answered: Tickets<Result<StateReply, SqlError>>,
}

impl AgentMailbox {
    /// Gives the agent an event from its own relay, or from the external relay `source`; returns when it is on record.
    pub(super) async fn take(
        &self,
        event: VerifiedEvent,
        source: Option<String>,
    ) -> Result<RequestAdmission, AgentError> {
        let input = |ticket| Input::Request { event, source, ticket };
        Ok(self.engine.ask(&self.taken, input).await??)
    }

    /// Asks the agent's database.
    pub(super) async fn query_state(&self, query: StateQuery) -> Result<StateReply, AgentError> {
        let input = |ticket| Input::Query { query, ticket };
        Ok(self.engine.ask(&self.answered, input).await??)
    }
}
