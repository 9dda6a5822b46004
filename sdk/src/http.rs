//! HTTP: finds the route of a request, and has one file for each handler; the same on both hosts.

mod agent_routes;
mod answer;
mod audit;
mod authority;
mod blob_admission;
mod fallback;
#[cfg(test)]
mod fixtures;
mod health;
mod index;
pub(crate) mod jobs;
mod manifest;
mod metrics;
mod nip05;
mod operator;
mod page;
mod parameters;
mod problem;
mod records;
pub(crate) mod relay_management;
pub(crate) mod relay_only;
mod route;
mod route_requests;
mod schedules;
mod state_changes;

pub(crate) use agent_routes::{AgentRoutes, DeclaredRoutes};
#[cfg(target_arch = "wasm32")]
pub(crate) use answer::PendingQuery;
pub(crate) use answer::RouteAnswer;
pub(crate) use authority::Authority;
pub(crate) use blob_admission::BlobAdmission;
pub(crate) use fallback::{method_not_allowed, no_audit, not_found};
pub(crate) use health::{PartHealth, PartsHealth};
pub(crate) use metrics::DeploymentUsage;
pub(crate) use operator::RecordAccess;
pub(crate) use relay_management::RelayManagement;
pub(crate) use relay_only::RelayAnswer;
pub(crate) use route::{AgentRoute, JobRoute, Route, route};
pub(crate) use route_requests::{MAX_RESPONSE_WAIT, response_of};
