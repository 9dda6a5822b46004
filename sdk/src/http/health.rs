//! `GET /health`: whether the agent's database answers, and how many jobs are unfinished.

use serde_json::{Value, json};

use super::response::HttpResponse;
use crate::manifest::AgentManifest;

/// Whether the agent's database answers, and how much it has to do.
pub(super) fn health(manifest: &AgentManifest, load: Option<&Value>) -> HttpResponse {
    let status = if load.is_some() { "ok" } else { "failing" };
    let unfinished = load.and_then(|load| load.get("unfinished"));
    let page = HttpResponse::value(&json!({
        "status": status,
        "name": manifest.name,
        "version": manifest.version,
        "npub": manifest.author.npub,
        "job_kinds": manifest.capabilities.job_kinds,
        "unfinished_jobs": unfinished,
    }));
    HttpResponse { status: if status == "ok" { 200 } else { 503 }, ..page }
}
