//! `AgentMailbox`: sends job requests, HTTP requests and state queries to the agent's engine thread and awaits the replies.

use openagents_host::native::{EngineStopped, Mailbox, Tickets};
use openagents_host::{SqlError, VerifiedEvent};

use crate::engine::{Input, RequestAdmission, StateQuery, StateReply};
use crate::route::{RouteRequest, RouteResponse};

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("the agent has stopped")]
    Stopped(#[from] EngineStopped),
    #[error(transparent)]
    Database(#[from] SqlError),
}

/// A handle to the agent's engine thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AgentMailbox {
    pub(super) engine: Mailbox<Input>,
    pub(super) taken: Tickets<Result<RequestAdmission, SqlError>>,
    pub(super) answered: Tickets<Result<StateReply, SqlError>>,
    pub(super) responded: Tickets<Option<RouteResponse>>,
}

impl AgentMailbox {
    /// Passes in an event from the agent's own relay, or from the external relay `source`. Returns when it is stored.
    pub(super) async fn take(
        &self,
        event: VerifiedEvent,
        source: Option<String>,
    ) -> Result<RequestAdmission, AgentError> {
        let input = |ticket| Input::Request { event, source, ticket };
        Ok(self.engine.ask(&self.taken, input).await??)
    }

    /// Passes in a request to the route with this index. Returns its response, or `None` if the agent is too busy.
    pub(super) async fn call(
        &self,
        route: usize,
        request: RouteRequest,
    ) -> Result<Option<RouteResponse>, AgentError> {
        let input = |ticket| Input::RouteRequest { route, request, ticket };
        Ok(self.engine.ask(&self.responded, input).await?)
    }

    /// Queries the agent's database.
    pub(super) async fn query_state(&self, query: StateQuery) -> Result<StateReply, AgentError> {
        let input = |ticket| Input::Query { query, ticket };
        Ok(self.engine.ask(&self.answered, input).await??)
    }
}
