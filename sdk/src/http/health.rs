//! `GET /health`: whether the agent's database responds, and the number of unfinished jobs.

use std::sync::Arc;

use openagents_host::http::{Response, StatusCode, response};
use serde_json::json;

use super::answer::RouteAnswer;
use crate::engine::{StateQuery, Workload};
use crate::manifest::{AgentManifest, SignedManifest};

pub(super) fn health(manifest: Arc<SignedManifest>) -> RouteAnswer {
    RouteAnswer::ask_always(StateQuery::Load, move |load: Option<Workload>| {
        respond(manifest.manifest(), load.as_ref())
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
        "file_job_kinds": manifest.capabilities.file_job_kinds(),
        "unfinished_jobs": load.map(|load| load.unfinished),
    });
    response::json(status, health.to_string())
}
