//! The routes of an agent: public pages, and records for its operators.

use std::net::IpAddr;
use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::http::{Body, Parts, Response};
use openagents_host::nostr::keys::npub;

use super::answer::{PendingQuery, RouteAnswer};
use super::audit::AuditQuery;
use super::health::{PartHealth, PartsHealth};
use super::metrics::DeploymentUsage;
use super::operator::RecordAccess;
use super::route::AgentRoute;
use super::{
    fallback, health, index, manifest, metrics, nip05, page, route_requests, schedules, state_changes,
};
use crate::declaration::RouteDeclaration;
use crate::discovery::Profile;
use crate::manifest::SignedManifest;
use crate::route::{RouteAdmission, RouteRequest};

/// What the handlers of an agent's routes need.
#[derive(Debug)]
pub(crate) struct AgentRoutes {
    manifest: Arc<SignedManifest>,
    profile: Profile,
    access: RecordAccess,
    /// The state of an agent that has not stored one, as JSON.
    default_state: String,
    declared: DeclaredRoutes,
}

/// The routes that the agent declares with `#[route]`, and what limits the requests to them.
#[derive(Debug)]
pub(crate) struct DeclaredRoutes {
    pub(crate) routes: Vec<RouteDeclaration>,
    pub(crate) admission: RouteAdmission,
}

impl AgentRoutes {
    pub(crate) fn new(
        manifest: SignedManifest,
        profile: Profile,
        access: RecordAccess,
        default_state: String,
        declared: DeclaredRoutes,
    ) -> Self {
        Self { manifest: Arc::new(manifest), profile, access, default_state, declared }
    }

    /// Who may read the agent's records.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) const fn access(&self) -> &RecordAccess {
        &self.access
    }

    /// Answers [`AgentRoute::Metrics`] with what relay and blob server use as well.
    pub(crate) fn metrics(&self, usage: DeploymentUsage) -> RouteAnswer {
        metrics::metrics(Arc::clone(&self.manifest), usage)
    }

    /// Answers [`AgentRoute::Health`], with the health of relay and blob server.
    pub(crate) fn health(&self, parts: PartsHealth) -> RouteAnswer {
        health::health(Arc::clone(&self.manifest), parts)
    }

    /// Calls the handler of a route.
    pub(crate) fn answer(&self, route: AgentRoute<'_>, parts: &Parts, now: Timestamp) -> RouteAnswer {
        let query = parts.uri.query().unwrap_or_default();
        match route {
            AgentRoute::Page => {
                page::agent_page(self.manifest.manifest(), self.profile.offers(), parts).into()
            }
            AgentRoute::Index => index::index(self.manifest.manifest()).into(),
            // Hosts that can ask the other parts call `health`.
            AgentRoute::Health => self.health(PartsHealth { relay: PartHealth::Ok, blobs: PartHealth::Ok }),
            AgentRoute::Metrics => self.metrics(DeploymentUsage::default()),
            AgentRoute::Nip05 => nip05::nip05(&self.profile, query).into(),
            AgentRoute::Manifest { agent }
            | AgentRoute::AgentMetrics { agent }
            | AgentRoute::Record { agent, .. }
            | AgentRoute::RunSchedule { agent, .. }
            | AgentRoute::ChangeState { agent, .. }
            | AgentRoute::Declared { agent: Some(agent), .. }
                if !self.is(agent) =>
            {
                fallback::no_such_agent().into()
            }
            AgentRoute::Declared { index, .. } => RouteAnswer::Call(index),
            AgentRoute::ChangeState { field, .. } => {
                RouteAnswer::ChangeState { field: field.map(str::to_owned) }
            }
            AgentRoute::Manifest { .. } => manifest::manifest(&self.manifest).into(),
            AgentRoute::AgentMetrics { .. } => metrics::metrics_json(),
            AgentRoute::Record { record, .. } => match self.access.operator(parts, now) {
                Ok(operator) => record.answer(&operator, query, &self.default_state),
                Err(response) => response.into(),
            },
            AgentRoute::Audit(record) => match self.access.operator(parts, now) {
                Ok(operator) => AuditQuery::new(&operator, record, query)
                    .map_or_else(RouteAnswer::Response, RouteAnswer::Audit),
                Err(response) => response.into(),
            },
            AgentRoute::RunSchedule { name, .. } => match self.access.operator_with_token(parts, now, b"") {
                Ok((operator, token)) => schedules::run(&operator, token, name, query),
                Err(response) => response.into(),
            },
        }
    }

    /// The query that changes the stored state, or the error response.
    pub(crate) async fn change_state(
        &self,
        field: Option<&str>,
        parts: &Parts,
        body: Body,
        now: Timestamp,
    ) -> Result<PendingQuery, Response> {
        let body = state_changes::read_body(parts, body).await?;
        let (operator, token) = self.access.operator_with_token(parts, now, &body)?;
        state_changes::change(&operator, token, field, &parts.method, &body)
    }

    /// Receives a request to a route that the agent declares, or returns the error response.
    pub(crate) async fn receive(
        &self,
        route: usize,
        parts: &Parts,
        body: Body,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<RouteRequest, Response> {
        let DeclaredRoutes { routes, admission } = &self.declared;
        let Some(route) = routes.get(route) else { return Err(fallback::not_found()) };
        route_requests::receive(admission, route, parts, body, address, now).await
    }

    /// Whether the URL names this agent: by its key, or its name.
    fn is(&self, agent: &str) -> bool {
        let key = self.profile.key();
        agent == npub(&key) || agent == key.to_hex() || agent == self.manifest.manifest().name
    }
}

#[cfg(test)]
mod tests;
