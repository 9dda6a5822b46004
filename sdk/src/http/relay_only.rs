//! The routes of a deployment without agents: a page at `/`, `/health` and `/metrics`.

use openagents_host::http::{Parts, Response, StatusCode, response};
use openagents_relay::RelayInformation;

use super::health::PartsHealth;
use super::metrics::DeploymentUsage;
use super::route::AgentRoute;
use super::{fallback, health, metrics, page};
use crate::declaration::DeploymentDeclaration;

/// What a handler of a relay without agents returns to its host.
#[derive(Debug)]
pub(crate) enum RelayAnswer {
    /// A finished response.
    Response(Response),
    /// A look at the health of the deployment's parts, which decides the response.
    Probe(HealthProbe),
    /// What relay and blob server use, for `/metrics`.
    Usage,
}

/// What `/health` says besides the health of the parts.
#[derive(Debug)]
pub(crate) struct HealthProbe {
    name: &'static str,
    version: &'static str,
}

/// Handles a route of an agent, as far as a relay without agents has it.
pub(crate) fn answer(
    route: AgentRoute<'_>,
    parts: &Parts,
    deployment: &DeploymentDeclaration,
    information: &RelayInformation,
) -> RelayAnswer {
    match route {
        AgentRoute::Page => {
            let (name, about) = name_and_about(deployment, information);
            RelayAnswer::Response(page::relay_page(name, deployment.version, about, parts))
        }
        AgentRoute::Index => RelayAnswer::Response(index(deployment, information)),
        AgentRoute::Health => {
            RelayAnswer::Probe(HealthProbe { name: deployment.name, version: deployment.version })
        }
        AgentRoute::Metrics => RelayAnswer::Usage,
        _ => RelayAnswer::Response(fallback::not_found()),
    }
}

/// The response for Prometheus; an error if the relay could not be asked.
pub(crate) fn metrics(usage: &DeploymentUsage) -> Response {
    metrics::relay_metrics(usage)
}

fn index(deployment: &DeploymentDeclaration, information: &RelayInformation) -> Response {
    let (name, about) = name_and_about(deployment, information);
    let page =
        format!("{name}\n{about}\n\nThis is a Nostr relay (NIP-01): connect to it with a WebSocket.\n");
    response::text(StatusCode::OK, page)
}

fn name_and_about<'a>(
    deployment: &DeploymentDeclaration,
    information: &'a RelayInformation,
) -> (&'a str, &'a str) {
    let name = information.name.as_deref().unwrap_or(deployment.name);
    (name, information.description.as_deref().unwrap_or(deployment.about))
}

impl HealthProbe {
    /// The response to the health of the deployment's parts.
    pub(crate) fn respond(&self, parts: PartsHealth) -> Response {
        health::health_of_relay(self.name, self.version, parts)
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::http::Response;
    use openagents_relay::admission::ClientMemoryUsage;
    use openagents_relay::{RelayConfig, RelayInformation};

    use super::{DeploymentUsage, PartsHealth, RelayAnswer, answer, metrics};
    use crate::declaration::DeploymentDeclaration;
    use crate::http::fixtures::{parts, text};
    use crate::http::health::PartHealth;
    use crate::http::route::AgentRoute;

    fn answered(route: AgentRoute<'_>, database_answers: bool) -> Response {
        let deployment = DeploymentDeclaration::relay_only("my-relay", "1.2.3", "A relay for tests.");
        let information = RelayInformation::new(&RelayConfig::default());
        match answer(route, &parts("GET", "http://relay.example/", &[]), &deployment, &information) {
            RelayAnswer::Response(response) => response,
            RelayAnswer::Probe(probe) => {
                let relay = PartHealth::of(database_answers);
                probe.respond(PartsHealth { relay, blobs: PartHealth::Ok })
            }
            RelayAnswer::Usage => metrics(&DeploymentUsage {
                memory: database_answers.then(ClientMemoryUsage::default),
                blobs: None,
            }),
        }
    }

    #[test]
    fn says_what_the_relay_is_called() {
        let page = text(answered(AgentRoute::Index, true));
        assert!(page.starts_with("my-relay\nA relay for tests.\n"), "{page}");
    }

    #[test]
    fn is_healthy_while_the_database_answers() {
        assert_eq!(answered(AgentRoute::Health, true).status(), 200);
        let failing = answered(AgentRoute::Health, false);
        assert_eq!(failing.status(), 503);
        assert!(text(failing).contains(r#""relay":"failing""#));
    }

    #[test]
    fn its_metrics_are_those_of_the_relay() {
        let text = text(answered(AgentRoute::Metrics, true));
        assert!(text.contains("\nopenagents_relay_client_memory_bytes{use=\"subscriptions\"} 0\n"), "{text}");
        assert!(!text.contains("jobs"), "{text}");
        assert_eq!(answered(AgentRoute::Metrics, false).status(), 503);
    }

    #[test]
    fn has_none_of_an_agents_pages() {
        for route in [AgentRoute::Nip05, AgentRoute::Manifest { agent: "npub1abc" }] {
            assert_eq!(answered(route, true).status(), 404, "{route:?}");
        }
    }
}
