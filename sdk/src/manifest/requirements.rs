//! What an agent needs to run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::settings::NOSTR_PRIVATE_KEY;

/// What an agent needs to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requirements {
    /// Where it runs.
    #[serde(default)]
    pub environment: Environment,
    /// What it must have there.
    #[serde(default)]
    pub resources: Resources,
    /// Which variables can be set, by name. Only what they are for is told, never their values.
    #[serde(default)]
    pub env_vars: BTreeMap<String, VariableRequirement>,
}

/// Where an agent runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Environment {
    /// On one's own machine.
    #[default]
    Local,
    /// On one's own machine as well as in the cloud.
    Hybrid {
        /// Where it had rather be.
        prefer: Preference,
    },
}

/// Where an agent had rather run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Preference {
    /// On one's own machine.
    #[default]
    PreferLocal,
    /// In the cloud.
    PreferCloud,
}

/// What an agent must have where it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Resources {
    /// Which network.
    #[serde(default)]
    pub network: NetworkAccess,
}

/// Which network an agent needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NetworkAccess {
    /// Whether it needs any.
    #[serde(default)]
    pub required: bool,
    /// Whether it needs WebSockets.
    #[serde(default)]
    pub websocket: bool,
    /// Whether it speaks Nostr.
    #[serde(default)]
    pub nostr: bool,
}

/// A variable that an agent reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VariableRequirement {
    /// Whether the agent does not start without it.
    #[serde(default)]
    pub required: bool,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Whether its value must be kept secret.
    #[serde(default)]
    pub secret: bool,
}

/// The variables of every agent: name, whether it is secret, and what it is for.
const VARIABLES: [(&str, bool, &str); 9] = [
    (NOSTR_PRIVATE_KEY, true, "the agent's secret key; without it the agent makes one"),
    ("RELAY_PRIVATE_KEY", true, "the relay's own secret key"),
    ("RELAY_NAME", false, "the relay's name"),
    ("RELAY_DESCRIPTION", false, "what the relay is for"),
    ("RELAY_PUBKEY", false, "whom to contact about the relay"),
    ("RELAY_URL", false, "the public address of the agent's own relay"),
    ("AGENT_RELAYS", false, "the outside relays that the agent serves, in place of those that it declares"),
    ("ALLOW_PRIVATE_ADDRESSES", false, "whether the agent may reach out to addresses that are not public"),
    ("SUPPORTED_NIPS", false, "which of the NIPs that the relay supports it says so of"),
];

impl Requirements {
    /// What every agent of this SDK needs.
    pub(super) fn of_any_agent() -> Self {
        let env_vars = VARIABLES.into_iter().map(|(name, secret, description)| {
            let description = description.to_owned();
            (name.to_owned(), VariableRequirement { required: false, description, secret })
        });
        Self {
            environment: Environment::Hybrid { prefer: Preference::PreferLocal },
            resources: Resources { network: NetworkAccess { required: true, websocket: true, nostr: true } },
            env_vars: env_vars.collect(),
        }
    }
}
