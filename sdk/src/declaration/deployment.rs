//! `DeploymentDeclaration`: the name and the agents of a deployment, from `deployment!`.

use super::{AgentDeclaration, RouteDeclaration};

/// A deployment: a relay and its agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentDeclaration {
    /// The deployment's name: its agent's or, without an agent, its crate's.
    pub name: &'static str,
    /// The version of the agent or crate.
    pub version: &'static str,
    /// What the deployment does, in a sentence or two.
    pub about: &'static str,
    /// The deployment's agents; empty for a relay alone.
    pub agents: Vec<DeployedAgent>,
}

/// What a deployment needs to know of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeployedAgent {
    /// The kinds of job requests that it handles (NIP-90), 5000 to 5999.
    pub job_kinds: Vec<u16>,
    /// The kinds of events that it handles if they name it in a `p` tag.
    pub mention_kinds: Vec<u16>,
    /// Its HTTP routes.
    pub routes: Vec<RouteDeclaration>,
    /// Whether a job may have a blob as an input, which its customer uploads to the agent's own blob server.
    pub takes_uploads: bool,
}

impl DeploymentDeclaration {
    /// A relay without agents.
    #[must_use]
    pub const fn relay_only(name: &'static str, version: &'static str, about: &'static str) -> Self {
        Self { name, version, about, agents: Vec::new() }
    }

    /// A relay with one agent.
    #[must_use]
    pub fn with_agent(agent: &AgentDeclaration, deployed: DeployedAgent) -> Self {
        Self { agents: vec![deployed], ..Self::relay_only(agent.name, agent.version, agent.about) }
    }

    /// Whether customers may upload blobs for their jobs.
    #[must_use]
    pub fn takes_uploads(&self) -> bool {
        self.agents.iter().any(|agent| agent.takes_uploads)
    }

    /// The HTTP routes of the agent, if there is one.
    #[must_use]
    pub fn routes(&self) -> &[RouteDeclaration] {
        match self.agents.as_slice() {
            [agent] => &agent.routes,
            _ => &[],
        }
    }
}
