//! The manifest's `requirements`: environment, network access and variables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::declaration::AgentDeclaration;
use crate::settings::known_variables;

/// What an agent needs to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requirements {
    /// Where it can run.
    #[serde(default)]
    pub environment: Environment,
    /// The resources that it needs.
    #[serde(default)]
    pub resources: Resources,
    /// The environment variables that can be set: their names and meaning, never their values.
    #[serde(default)]
    pub env_vars: BTreeMap<String, VariableRequirement>,
}

/// Where an agent can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Environment {
    /// On your own machine.
    #[default]
    Local,
    /// On your own machine or in the cloud.
    Hybrid {
        /// Where it should run if possible.
        prefer: Preference,
    },
}

/// Where an agent should run if possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preference {
    /// On your own machine.
    #[default]
    PreferLocal,
    /// In the cloud.
    PreferCloud,
}

/// The resources that an agent needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Resources {
    /// The network access that it needs.
    #[serde(default)]
    pub network: NetworkAccess,
}

/// The network access that an agent needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NetworkAccess {
    /// Whether it needs network access.
    #[serde(default)]
    pub required: bool,
    /// Whether it needs WebSockets.
    #[serde(default)]
    pub websocket: bool,
    /// Whether it uses Nostr relays.
    #[serde(default)]
    pub nostr: bool,
}

/// An environment variable that an agent reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VariableRequirement {
    /// Whether the agent cannot start without it.
    #[serde(default)]
    pub required: bool,
    /// What the variable sets.
    #[serde(default)]
    pub description: String,
    /// Whether its value is a secret.
    #[serde(default)]
    pub secret: bool,
}

impl Requirements {
    /// What this agent needs.
    pub(super) fn of(agent: &AgentDeclaration) -> Self {
        let env_vars = known_variables::all().map(|known| {
            let description = known.about.to_owned();
            (
                known.name.to_owned(),
                VariableRequirement { required: false, description, secret: known.is_secret },
            )
        });
        let variables = agent.variables.iter().map(|variable| {
            let description = "a variable of this agent's handlers".to_owned();
            let required = variable.default.is_none();
            (variable.name.to_owned(), VariableRequirement { required, description, secret: false })
        });
        let secrets = agent.secrets.iter().map(|name| {
            let description = "a secret of this agent's handlers".to_owned();
            ((*name).to_owned(), VariableRequirement { required: true, description, secret: true })
        });
        Self {
            environment: Environment::Hybrid { prefer: Preference::PreferLocal },
            resources: Resources { network: NetworkAccess { required: true, websocket: true, nostr: true } },
            env_vars: env_vars.chain(variables).chain(secrets).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Requirements;
    use crate::declaration::{AgentDeclaration, VariableDeclaration};

    #[test]
    fn names_every_variable_that_is_read() {
        let names = include_str!("../settings/names.rs")
            .lines()
            .filter_map(|line| line.split_once("const ")?.1.split_once(": &str = \"")?.1.strip_suffix("\";"));
        let mut read: Vec<&str> = names.collect();
        read.sort_unstable();
        let named = Requirements::of(&AgentDeclaration::new("scribe")).env_vars;
        assert_eq!(named.keys().map(String::as_str).collect::<Vec<_>>(), read);
        assert!(named.values().all(|variable| !variable.required && !variable.description.is_empty()));
    }

    #[test]
    fn names_what_the_agent_declares_but_no_value() {
        let agent = AgentDeclaration {
            variables: &[
                VariableDeclaration { name: "MODEL", default: Some("small-model") },
                VariableDeclaration { name: "BASE_URL", default: None },
            ],
            secrets: &["API_KEY"],
            ..AgentDeclaration::new("scribe")
        };
        let requirements = Requirements::of(&agent);
        let named = ["MODEL", "BASE_URL", "API_KEY"].map(|name| &requirements.env_vars[name]);
        assert_eq!(
            named.map(|variable| (variable.required, variable.secret)),
            [(false, false), (true, false), (true, true)]
        );
        assert!(!serde_json::to_string(&requirements).unwrap().contains("small-model"));
    }
}
