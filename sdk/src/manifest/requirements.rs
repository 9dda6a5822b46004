//! The manifest's `requirements`: environment, network, variables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::settings::names::NOSTR_PRIVATE_KEY;

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
const VARIABLES: [(&str, bool, &str); 38] = [
    (NOSTR_PRIVATE_KEY, true, "the agent's secret key; without it the agent makes one"),
    ("RELAY_PRIVATE_KEY", true, "the relay's own secret key"),
    ("RELAY_NAME", false, "the relay's name"),
    ("RELAY_DESCRIPTION", false, "what the relay is for"),
    ("RELAY_ICON", false, "the address of the relay's picture"),
    ("RELAY_PUBKEY", false, "whom to contact about the relay"),
    ("RELAY_CONTACT", false, "another way to reach whoever runs the relay"),
    ("RELAY_URL", false, "the public address of the agent's own relay"),
    ("SUPPORTED_NIPS", false, "which of the NIPs that the relay supports it says so of"),
    ("ADMIN_PUBKEYS", false, "who may read what is on record beside the agent, and manage the relay"),
    ("AGENT_RELAYS", false, "the outside relays that the agent serves, in place of those that it declares"),
    ("AGENT_ANNOUNCE", false, "whether the agent announces itself"),
    ("ALLOW_PRIVATE_ADDRESSES", false, "whether the agent may reach out to addresses that are not public"),
    ("RELAY_VISIT_SECONDS", false, "how often a Worker looks for requests on outside relays, in seconds"),
    ("RELAY_AUTH", false, "who has to identify themselves at the relay"),
    ("RELAY_PRIVATE_KINDS", false, "the kinds that only their parties can read"),
    ("RELAY_ALLOWED_PUBKEYS", false, "who alone may write"),
    ("RELAY_BLOCKED_PUBKEYS", false, "whose events are refused"),
    ("RELAY_ALLOWED_KINDS", false, "the kinds that alone are taken"),
    ("RELAY_BLOCKED_KINDS", false, "the kinds that are not taken"),
    ("RELAY_BLOCKED_ADDRESSES", false, "from where nobody may connect"),
    ("RELAY_RETENTION", false, "how long events of certain kinds are kept"),
    ("RELAY_MIN_POW", false, "how many leading zero bits an event's id must have"),
    ("RELAY_CREATED_AT_PAST", false, "how many seconds an event may be old"),
    ("RELAY_CREATED_AT_FUTURE", false, "how many seconds the clock of an event may be ahead"),
    ("RELAY_MAX_MESSAGE_LENGTH", false, "the longest message, in bytes"),
    ("RELAY_MAX_CONTENT_LENGTH", false, "the longest content, in characters"),
    ("RELAY_MAX_EVENT_TAGS", false, "the most tags of an event"),
    ("RELAY_MAX_SUBSCRIPTIONS", false, "the most subscriptions of a connection"),
    ("RELAY_MAX_FILTERS", false, "the most filters of a subscription"),
    ("RELAY_MAX_LIMIT", false, "the most stored events that a filter brings"),
    ("RELAY_MAX_CONNECTIONS", false, "how many clients there can be"),
    ("RELAY_MAX_CONNECTIONS_PER_ADDRESS", false, "how many clients there can be at one address"),
    ("RELAY_MAX_EVENTS_PER_MINUTE", false, "how many events a connection can publish in a minute"),
    ("RELAY_MAX_REQUESTS_PER_MINUTE", false, "how many requests a connection can make in a minute"),
    ("RELAY_MAX_AUTHS_PER_MINUTE", false, "how often a connection can identify somebody in a minute"),
    ("RELAY_LIMIT_LOOPBACK", false, "whether the relay's own machine is held to these rates as well"),
    ("RELAY_TRUSTED_PROXIES", false, "the proxies that say where a client is, natively"),
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

#[cfg(test)]
mod tests {
    use super::Requirements;

    #[test]
    fn names_every_variable_that_is_read() {
        let names = include_str!("../settings/names.rs")
            .lines()
            .filter_map(|line| line.split_once("const ")?.1.split_once(": &str = \"")?.1.strip_suffix("\";"));
        let mut read: Vec<&str> = names.collect();
        read.sort_unstable();
        let named = Requirements::of_any_agent().env_vars;
        assert_eq!(named.keys().map(String::as_str).collect::<Vec<_>>(), read);
        assert!(named.values().all(|variable| !variable.required && !variable.description.is_empty()));
    }
}
