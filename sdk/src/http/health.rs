//! `GET /health`: whether the agent's database answers, and how many jobs are unfinished.

use openagents_host::http::{Response, StatusCode, response};
use serde_json::json;

use super::agent_routes::AgentRoutes;
use super::answer::RouteAnswer;
use crate::engine::{StateQuery, Workload};
use crate::manifest::AgentManifest;

pub(super) fn health(routes: &AgentRoutes) -> RouteAnswer {
    let routes = routes.clone();
    RouteAnswer::ask_always(StateQuery::Load, move |load: Option<Workload>| {
        respond(routes.manifest(), load.as_ref())
    })
}

fn respond(manifest: &AgentManifest, load: Option<&Workload>) -> Response {
    let (status, word) = match load {
        Some(_) => (StatusCode::OK, "ok"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    let health = json!({
        "status": word,
        "name": manifest.name,
        "version": manifest.version,
        "npub": manifest.author.npub,
        "job_kinds": manifest.capabilities.job_kinds,
        "unfinished_jobs": load.map(|load| load.unfinished),
    });
    response::json(status, health.to_string())
}
