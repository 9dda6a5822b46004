//! The agent's HTTP routes: public pages, and records for its operators.

use std::collections::BTreeSet;
use std::sync::Arc;

use openagents_host::keys::npub;
use openagents_host::{PublicKey, Timestamp};
use serde_json::Value;
use url::Url;

use super::health::health;
use super::index::welcome;
use super::operators::Operators;
use super::records::{self, RecordFormat};
use super::request::HttpRequest;
use super::response::HttpResponse;
use super::{AgentRoute, metrics, nip05};
use crate::discovery::Profile;
use crate::engine::StateQuery;
use crate::manifest::SignedManifest;

/// What a host does with a [`HttpRequest`].
#[derive(Clone, Debug)]
pub(crate) enum RouteAnswer {
    /// Sends this.
    Response(HttpResponse),
    /// Asks the agent's database first.
    Ask(PendingQuery),
}

/// What the database is asked, and what becomes of its answer.
#[derive(Clone, Debug)]
pub(crate) struct PendingQuery {
    pub(crate) query: StateQuery,
    format: ReplyFormat,
}

#[derive(Clone, Copy, Debug)]
enum ReplyFormat {
    Health,
    Metrics,
    AgentMetrics,
    Record(RecordFormat),
}

/// The routes of one agent. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AgentRoutes(Arc<AgentRoutesInner>);

#[derive(Debug)]
struct AgentRoutesInner {
    manifest: SignedManifest,
    profile: Profile,
    operators: Operators,
    /// The state of an agent that has stored none.
    default_state: String,
}

impl AgentRoutes {
    /// The routes of an agent with this profile; `operators` are the keys that may read its records beside its own, under
    /// one of the `hosts` if there are any.
    pub(crate) fn new(
        manifest: SignedManifest,
        profile: Profile,
        operators: &[PublicKey],
        hosts: BTreeSet<String>,
        default_state: String,
    ) -> Self {
        let operators = Operators::new(profile.key(), operators, hosts);
        Self(Arc::new(AgentRoutesInner { manifest, profile, operators, default_state }))
    }

    /// Answers a request, or says what must be asked for it.
    pub(crate) fn answer(&self, route: AgentRoute<'_>, request: &HttpRequest, now: Timestamp) -> RouteAnswer {
        let inner = &*self.0;
        let url = Url::parse(&request.url).ok();
        let query = url.as_ref().and_then(Url::query).unwrap_or_default();
        let ask = |query, format| RouteAnswer::Ask(PendingQuery { query, format });
        match route {
            AgentRoute::Index => {
                RouteAnswer::Response(HttpResponse::text(welcome(inner.manifest.manifest())))
            }
            AgentRoute::Health => ask(StateQuery::Load, ReplyFormat::Health),
            AgentRoute::Metrics => ask(StateQuery::Metrics, ReplyFormat::Metrics),
            AgentRoute::Nip05 => {
                let name = records::value(query, "name");
                RouteAnswer::Response(HttpResponse::json(nip05::document(&inner.profile, name.as_deref())))
            }
            AgentRoute::Manifest { agent }
            | AgentRoute::AgentMetrics { agent }
            | AgentRoute::Record { agent, .. }
                if !self.is(agent) =>
            {
                RouteAnswer::Response(HttpResponse::no_such_agent())
            }
            AgentRoute::Manifest { .. } => {
                RouteAnswer::Response(HttpResponse::json(inner.manifest.json().to_string()))
            }
            AgentRoute::AgentMetrics { .. } => ask(StateQuery::Metrics, ReplyFormat::AgentMetrics),
            AgentRoute::Record { record, .. } => {
                let asked = inner.operators.admit(request, now).and_then(|()| record.state_query(query));
                match asked {
                    Ok((query, shown)) => ask(query, ReplyFormat::Record(shown)),
                    Err(page) => RouteAnswer::Response(page),
                }
            }
        }
    }

    /// The page for what the database answered.
    pub(crate) fn respond(&self, pending: &PendingQuery, reply: Result<Value, String>) -> HttpResponse {
        let inner = &*self.0;
        match (pending.format, reply) {
            (ReplyFormat::Health, load) => health(inner.manifest.manifest(), load.ok().as_ref()),
            (ReplyFormat::Metrics, Ok(metrics)) => {
                HttpResponse::text(metrics::text(inner.manifest.manifest(), &metrics))
                    .of_type(metrics::CONTENT_TYPE)
            }
            (ReplyFormat::AgentMetrics, Ok(metrics)) => HttpResponse::value(&metrics),
            (ReplyFormat::Record(shown), Ok(answer)) => shown.page(answer, &inner.default_state).private(),
            // Why is for the log.
            (_, Err(_)) => HttpResponse::failure(503, "The agent's database does not answer now; try again."),
        }
    }

    fn is(&self, agent: &str) -> bool {
        let key = self.0.profile.key();
        agent == npub(&key) || agent == key.to_hex()
    }
}

#[cfg(test)]
mod tests;
