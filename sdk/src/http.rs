//! HTTP: which route a request takes and what the agent answers, the same on both hosts.

mod agent_routes;
mod health;
mod index;
mod metrics;
mod nip05;
mod operators;
mod records;
pub(crate) mod relay_management;
mod request;
mod response;
mod route;

pub(crate) use agent_routes::{AgentRoutes, RouteAnswer};
pub(crate) use request::HttpRequest;
pub(crate) use response::{COMMON_HEADERS, HttpResponse};
pub(crate) use route::{AgentRoute, Route, route};
