//! `GET /health`: whether each part of the deployment can work, and the number of unfinished jobs.

use std::sync::Arc;

use openagents_host::http::{Response, StatusCode, response};
use openagents_host::nostr::Filter;
use serde::Serialize;
use serde_json::json;

use super::answer::RouteAnswer;
use crate::engine::{StateQuery, Workload};
use crate::manifest::{AgentManifest, SignedManifest};

/// Whether a part of a deployment can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PartHealth {
    Ok,
    /// It does not answer.
    Failing,
    /// A Worker's `wrangler.toml` does not bind what it needs.
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "natively there is every part"))]
    Absent,
}

impl PartHealth {
    pub(crate) fn of(is_answered: bool) -> Self {
        if is_answered { Self::Ok } else { Self::Failing }
    }
}

/// The health of the parts beside the agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartsHealth {
    pub(crate) relay: PartHealth,
    pub(crate) blobs: PartHealth,
}

impl PartsHealth {
    /// The filters of a query whose success shows that the relay's database responds. They return one event at most.
    pub(crate) fn relay_probe() -> [Filter; 1] {
        [Filter::new().limit(1)]
    }

    /// What the deployment answers: it can work if nothing fails.
    fn status(self, agent: PartHealth) -> (StatusCode, &'static str) {
        match [agent, self.relay, self.blobs].contains(&PartHealth::Failing) {
            false => (StatusCode::OK, "ok"),
            true => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
        }
    }
}

/// The health of a deployment with an agent.
pub(super) fn health(manifest: Arc<SignedManifest>, parts: PartsHealth) -> RouteAnswer {
    RouteAnswer::ask_always(StateQuery::Load, move |load: Option<Workload>| {
        respond(manifest.manifest(), load.as_ref(), parts)
    })
}

fn respond(manifest: &AgentManifest, load: Option<&Workload>, parts: PartsHealth) -> Response {
    let agent = PartHealth::of(load.is_some());
    let (status, word) = parts.status(agent);
    let health = json!({
        "status": word,
        "name": manifest.name,
        "version": manifest.version,
        "npub": manifest.author.npub,
        "job_kinds": manifest.capabilities.job_kinds,
        "file_job_kinds": manifest.capabilities.file_job_kinds(),
        "unfinished_jobs": load.map(|load| load.unfinished),
        "parts": { "agent": agent, "relay": parts.relay, "blobs": parts.blobs },
    });
    response::json(status, health.to_string())
}

/// The health of a relay without agents.
pub(super) fn health_of_relay(name: &str, version: &str, parts: PartsHealth) -> Response {
    let (status, word) = parts.status(PartHealth::Ok);
    let health = json!({
        "status": word,
        "name": name,
        "version": version,
        "parts": { "relay": parts.relay, "blobs": parts.blobs },
    });
    response::json(status, health.to_string())
}

#[cfg(test)]
mod tests {
    use super::PartHealth::{Absent, Failing, Ok};
    use super::{PartsHealth, health_of_relay, respond};
    use crate::declaration::AgentDeclaration;
    use crate::engine::Workload;
    use crate::http::fixtures::text;
    use crate::manifest::AgentManifest;

    #[test]
    fn a_deployment_is_well_if_none_of_its_parts_fails() {
        let key = openagents_host::Keys::from_secret(&[1; 32]).unwrap().public_key();
        let manifest = AgentManifest::new(&AgentDeclaration::new("scribe"), &[], &key);
        let load = Workload { unfinished: 2, running: 1 };
        for (load, relay, blobs, expected) in [
            (Some(&load), Ok, Ok, 200),
            (Some(&load), Ok, Absent, 200),
            (Some(&load), Ok, Failing, 503),
            (Some(&load), Failing, Ok, 503),
            (None, Ok, Ok, 503),
        ] {
            let response = respond(&manifest, load, PartsHealth { relay, blobs });
            assert_eq!(response.status(), expected, "{load:?} {relay:?} {blobs:?}");
        }
        let parts = PartsHealth { relay: Failing, blobs: Absent };
        let shown: serde_json::Value = serde_json::from_str(&text(respond(&manifest, None, parts))).unwrap();
        let expected = serde_json::json!({ "agent": "failing", "relay": "failing", "blobs": "absent" });
        assert_eq!((&shown["parts"], &shown["status"]), (&expected, &"failing".into()));
    }

    #[test]
    fn a_relay_without_agents_has_two_parts() {
        let response = health_of_relay("relay", "1.0.0", PartsHealth { relay: Ok, blobs: Ok });
        assert_eq!(response.status(), 200);
        let expected =
            r#"{"name":"relay","parts":{"blobs":"ok","relay":"ok"},"status":"ok","version":"1.0.0"}"#;
        assert_eq!(text(response), expected);
        assert_eq!(health_of_relay("", "", PartsHealth { relay: Failing, blobs: Ok }).status(), 503);
    }
}
