//! `GET /` for programs such as curl: what the deployment is, as text.

use openagents_host::http::{Response, StatusCode, response};

use crate::manifest::AgentManifest;

/// The text about an agent.
pub(super) fn index(manifest: &AgentManifest) -> Response {
    let mut page = format!("{} {}\n{}\n\n", manifest.name, manifest.version, manifest.description);
    for tool in &manifest.capabilities.tools {
        let kind = tool.job_kind.unwrap_or_default();
        page.push_str(&format!("kind {kind}  {}: {}\n", tool.name, tool.description));
    }
    for route in &manifest.capabilities.routes {
        let line = format!("{} {}  {}", route.method, route.path, route.description);
        page.push_str(&format!("{}\n", line.trim_end()));
    }
    page.push_str(&format!(
        "\nagent     {npub}\nmanifest  /agent/{npub}/manifest.json\nmetrics   /metrics\n\n\
         This is a Nostr relay (NIP-01) with an agent that answers job requests (NIP-90): connect to it with a WebSocket.\n",
        npub = manifest.author.npub,
    ));
    response::text(StatusCode::OK, page)
}
