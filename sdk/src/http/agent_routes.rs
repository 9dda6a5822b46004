//! The routes of an agent: public pages, and records for its operators.

use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::http::Parts;
use openagents_host::nostr::keys::npub;

use super::answer::RouteAnswer;
use super::metrics::DeploymentUsage;
use super::operator::RecordAccess;
use super::route::AgentRoute;
use super::{fallback, health, index, manifest, metrics, nip05, schedules};
use crate::discovery::Profile;
use crate::manifest::SignedManifest;

/// What the handlers of an agent's routes need.
#[derive(Debug)]
pub(crate) struct AgentRoutes {
    manifest: Arc<SignedManifest>,
    profile: Profile,
    access: RecordAccess,
    /// The state of an agent that has not stored one, as JSON.
    default_state: String,
}

impl AgentRoutes {
    pub(crate) fn new(
        manifest: SignedManifest,
        profile: Profile,
        access: RecordAccess,
        default_state: String,
    ) -> Self {
        Self { manifest: Arc::new(manifest), profile, access, default_state }
    }

    /// Answers [`AgentRoute::Metrics`] with what relay and blob server use as well.
    pub(crate) fn metrics(&self, usage: DeploymentUsage) -> RouteAnswer {
        metrics::metrics(Arc::clone(&self.manifest), usage)
    }

    /// Calls the handler of a route.
    pub(crate) fn answer(&self, route: AgentRoute<'_>, parts: &Parts, now: Timestamp) -> RouteAnswer {
        let query = parts.uri.query().unwrap_or_default();
        match route {
            AgentRoute::Index => index::index(self.manifest.manifest()).into(),
            AgentRoute::Health => health::health(Arc::clone(&self.manifest)),
            AgentRoute::Metrics => self.metrics(DeploymentUsage::default()),
            AgentRoute::Nip05 => nip05::nip05(&self.profile, query).into(),
            AgentRoute::Manifest { agent }
            | AgentRoute::AgentMetrics { agent }
            | AgentRoute::Record { agent, .. }
            | AgentRoute::RunSchedule { agent, .. }
                if !self.is(agent) =>
            {
                fallback::no_such_agent().into()
            }
            AgentRoute::Manifest { .. } => manifest::manifest(&self.manifest).into(),
            AgentRoute::AgentMetrics { .. } => metrics::metrics_json(),
            AgentRoute::Record { record, .. } => match self.access.operator(parts, now) {
                Ok(operator) => record.answer(&operator, query, &self.default_state),
                Err(response) => response.into(),
            },
            AgentRoute::RunSchedule { name, .. } => match self.access.operator_with_token(parts, now) {
                Ok((operator, token)) => schedules::run(&operator, token, name, query),
                Err(response) => response.into(),
            },
        }
    }

    fn is(&self, agent: &str) -> bool {
        let key = self.profile.key();
        agent == npub(&key) || agent == key.to_hex()
    }
}

#[cfg(test)]
mod tests;
