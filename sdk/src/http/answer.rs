//! `RouteAnswer`: a handler's response, a query of the agent's database and how its reply becomes the response, or a call
//! of a route that the agent declares.

use openagents_host::http::{Response, StatusCode, response};

use super::audit::AuditQuery;
use crate::engine::{StateQuery, StateReply};

/// What a handler returns to its host.
#[derive(Debug)]
pub(crate) enum RouteAnswer {
    /// A finished response.
    Response(Response),
    /// A query of the agent's database, whose reply becomes the response.
    Ask(PendingQuery),
    /// A request to the route with this index among those that the agent declares.
    Call(usize),
    /// A change of the stored state by an operator: one field, or all of them.
    ChangeState { field: Option<String> },
    /// A query of the gateway's audit.
    Audit(AuditQuery),
}

impl RouteAnswer {
    /// Queries the database; if that fails, the response is an error. The host logs why.
    pub(super) fn ask<T: TryFrom<StateReply>>(
        query: StateQuery,
        respond: impl FnOnce(T) -> Response + Send + 'static,
    ) -> Self {
        Self::Ask(PendingQuery::new(query, respond))
    }

    /// Like [`Self::ask`], but `respond` also handles a failed query.
    pub(super) fn ask_always<T: TryFrom<StateReply>>(
        query: StateQuery,
        respond: impl FnOnce(Option<T>) -> Response + Send + 'static,
    ) -> Self {
        Self::Ask(PendingQuery::always(query, respond))
    }
}

impl From<Response> for RouteAnswer {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// A query of the agent's database and how its reply becomes a response.
pub(crate) struct PendingQuery {
    pub(crate) query: StateQuery,
    respond: Box<dyn FnOnce(Option<StateReply>) -> Response + Send>,
}

impl PendingQuery {
    /// If the query fails, the response is an error.
    pub(super) fn new<T: TryFrom<StateReply>>(
        query: StateQuery,
        respond: impl FnOnce(T) -> Response + Send + 'static,
    ) -> Self {
        Self::always(query, |reply| match reply {
            Some(reply) => respond(reply),
            None => response::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "The agent's database is not available; try again.",
            ),
        })
    }

    fn always<T: TryFrom<StateReply>>(
        query: StateQuery,
        respond: impl FnOnce(Option<T>) -> Response + Send + 'static,
    ) -> Self {
        let respond = |reply: Option<StateReply>| respond(reply.and_then(|reply| reply.try_into().ok()));
        Self { query, respond: Box::new(respond) }
    }

    /// The response to the reply; `None` stands for a failed query.
    pub(crate) fn respond(self, reply: Option<StateReply>) -> Response {
        (self.respond)(reply)
    }
}

impl std::fmt::Debug for PendingQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingQuery").field("query", &self.query).finish_non_exhaustive()
    }
}
