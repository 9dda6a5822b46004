//! What a deployment is called and which agents it has, from `deployment!`.

use super::AgentDeclaration;

/// A deployment: a relay, and the agents beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentDeclaration {
    /// Its name: its agent's or, without an agent, its crate's.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in a sentence or two.
    pub about: &'static str,
    /// Its agents; none if the relay is alone.
    pub agents: Vec<DeployedAgent>,
}

/// An agent of a deployment, as far as its relay needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedAgent {
    /// The kinds of its jobs' requests (NIP-90), 5000 to 5999.
    pub job_kinds: Vec<u16>,
}

impl DeploymentDeclaration {
    /// A relay without agents.
    #[must_use]
    pub const fn relay_only(name: &'static str, version: &'static str, about: &'static str) -> Self {
        Self { name, version, about, agents: Vec::new() }
    }

    /// A relay with one agent.
    #[must_use]
    pub fn with_agent(agent: &AgentDeclaration, job_kinds: impl IntoIterator<Item = u16>) -> Self {
        let agents = vec![DeployedAgent { job_kinds: job_kinds.into_iter().collect() }];
        Self { agents, ..Self::relay_only(agent.name, agent.version, agent.about) }
    }
}
