//! The routes of one agent: what anybody may read, and records for its operators.

use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::http::Parts;
use openagents_host::keys::npub;

use super::answer::RouteAnswer;
use super::operator::RecordAccess;
use super::route::AgentRoute;
use super::{fallback, health, index, manifest, metrics, nip05};
use crate::discovery::Profile;
use crate::manifest::{AgentManifest, SignedManifest};

/// What the handlers of an agent's routes know. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AgentRoutes(Arc<AgentRoutesInner>);

#[derive(Debug)]
struct AgentRoutesInner {
    manifest: SignedManifest,
    profile: Profile,
    access: RecordAccess,
    /// The state of an agent that has stored none, as JSON.
    default_state: String,
}

impl AgentRoutes {
    pub(crate) fn new(
        manifest: SignedManifest,
        profile: Profile,
        access: RecordAccess,
        default_state: String,
    ) -> Self {
        Self(Arc::new(AgentRoutesInner { manifest, profile, access, default_state }))
    }

    /// Lets the handler of a route answer.
    pub(crate) fn answer(&self, route: AgentRoute<'_>, parts: &Parts, now: Timestamp) -> RouteAnswer {
        let inner = &*self.0;
        let query = parts.uri.query().unwrap_or_default();
        match route {
            AgentRoute::Index => index::index(self.manifest()).into(),
            AgentRoute::Health => health::health(self),
            AgentRoute::Metrics => metrics::metrics(self),
            AgentRoute::Nip05 => nip05::nip05(&inner.profile, query).into(),
            AgentRoute::Manifest { agent }
            | AgentRoute::AgentMetrics { agent }
            | AgentRoute::Record { agent, .. }
                if !self.is(agent) =>
            {
                fallback::no_such_agent().into()
            }
            AgentRoute::Manifest { .. } => manifest::manifest(&inner.manifest).into(),
            AgentRoute::AgentMetrics { .. } => metrics::metrics_json(),
            AgentRoute::Record { record, .. } => match inner.access.operator(parts, now) {
                Ok(operator) => record.answer(&operator, query, &inner.default_state),
                Err(response) => response.into(),
            },
        }
    }

    pub(super) fn manifest(&self) -> &AgentManifest {
        self.0.manifest.manifest()
    }

    fn is(&self, agent: &str) -> bool {
        let key = self.0.profile.key();
        agent == npub(&key) || agent == key.to_hex()
    }
}

#[cfg(test)]
mod tests;
