//! What a handler gives back: a response, or a query of the agent's database and how its reply becomes one.

use openagents_host::http::{Response, StatusCode, response};

use crate::engine::{StateQuery, StateReply};

/// What a host does with a request that a handler has seen.
#[derive(Debug)]
pub(crate) enum RouteAnswer {
    /// Sends this.
    Response(Response),
    /// Asks the agent's database first.
    Ask(PendingQuery),
}

impl RouteAnswer {
    /// Asks the database. Why it could not answer is for the log.
    pub(super) fn ask<T: TryFrom<StateReply>>(
        query: StateQuery,
        respond: impl FnOnce(T) -> Response + Send + 'static,
    ) -> Self {
        Self::ask_always(query, |reply| match reply {
            Some(reply) => respond(reply),
            None => response::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "The agent's database does not answer now; try again.",
            ),
        })
    }

    /// As [`Self::ask`], with a response of its own for a database that could not answer.
    pub(super) fn ask_always<T: TryFrom<StateReply>>(
        query: StateQuery,
        respond: impl FnOnce(Option<T>) -> Response + Send + 'static,
    ) -> Self {
        let respond = |reply: Option<StateReply>| respond(reply.and_then(|reply| reply.try_into().ok()));
        Self::Ask(PendingQuery { query, respond: Box::new(respond) })
    }
}

impl From<Response> for RouteAnswer {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

/// A query of the agent's database that a request waits for.
pub(crate) struct PendingQuery {
    pub(crate) query: StateQuery,
    respond: Box<dyn FnOnce(Option<StateReply>) -> Response + Send>,
}

impl PendingQuery {
    /// The response for what the database replied; `None` if it could not.
    pub(crate) fn respond(self, reply: Option<StateReply>) -> Response {
        (self.respond)(reply)
    }
}

impl std::fmt::Debug for PendingQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingQuery").field("query", &self.query).finish_non_exhaustive()
    }
}
