//! The manifest's `requirements`: environment, network access and variables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::declaration::AgentDeclaration;
use crate::settings::names::NOSTR_PRIVATE_KEY;

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

/// The variables of every agent: name, whether it is secret, and what it sets.
const VARIABLES: [(&str, bool, &str); 57] = [
    (NOSTR_PRIVATE_KEY, true, "the agent's secret key; generated if missing"),
    ("LOG_LEVEL", false, "which log lines are written"),
    ("LOG_FORMAT", false, "how log lines are written"),
    ("RELAY_PRIVATE_KEY", true, "the relay's own secret key"),
    ("RELAY_NAME", false, "the relay's name"),
    ("RELAY_DESCRIPTION", false, "a description of the relay"),
    ("RELAY_ICON", false, "URL of the relay's icon"),
    ("RELAY_PUBKEY", false, "public key of the relay's operator"),
    ("RELAY_CONTACT", false, "another contact of the relay's operator"),
    ("RELAY_URL", false, "public URL of the agent's own relay"),
    ("SUPPORTED_NIPS", false, "the NIPs that the relay's information document lists"),
    ("ADMIN_PUBKEYS", false, "operators, who may read the agent's records and manage the relay"),
    ("AGENT_RELAYS", false, "external relays that the agent serves, in place of the declared ones"),
    ("AGENT_ANNOUNCE", false, "whether the agent announces itself"),
    ("AGENT_HTTP_ALLOWED_ORIGINS", false, "private servers that handlers may reach by HTTP"),
    ("ALLOW_PRIVATE_ADDRESSES", false, "whether the agent may connect to private addresses"),
    ("RELAY_VISIT_SECONDS", false, "how often a Worker polls external relays, in seconds"),
    ("RELAY_AUTH", false, "who must authenticate to the relay (NIP-42)"),
    ("RELAY_PRIVATE_KINDS", false, "kinds that only author and recipients can read"),
    ("RELAY_ALLOWED_PUBKEYS", false, "the only keys that may write"),
    ("RELAY_BLOCKED_PUBKEYS", false, "keys whose events are rejected"),
    ("RELAY_ALLOWED_KINDS", false, "the only kinds that are accepted"),
    ("RELAY_BLOCKED_KINDS", false, "kinds that are rejected"),
    ("RELAY_BLOCKED_ADDRESSES", false, "network addresses that may not connect"),
    ("RELAY_RETENTION", false, "how long events of some kinds are kept"),
    ("RELAY_MIN_POW", false, "the leading zero bits that an event's id must have"),
    ("RELAY_CREATED_AT_PAST", false, "how old an event may be, in seconds"),
    ("RELAY_CREATED_AT_FUTURE", false, "how far in the future an event may be, in seconds"),
    ("RELAY_MAX_MESSAGE_LENGTH", false, "the longest message, in bytes"),
    ("RELAY_MAX_CONTENT_LENGTH", false, "the longest content, in characters"),
    ("RELAY_MAX_EVENT_TAGS", false, "the most tags in an event"),
    ("RELAY_MAX_SUBSCRIPTIONS", false, "the most subscriptions on a connection"),
    ("RELAY_MAX_FILTERS", false, "the most filters in a subscription"),
    ("RELAY_MAX_LIMIT", false, "the most stored events returned for a filter"),
    ("RELAY_MAX_CONNECTIONS", false, "the most client connections"),
    ("RELAY_MAX_CONNECTIONS_PER_ADDRESS", false, "the most connections from one network address"),
    ("RELAY_MAX_EVENTS_PER_MINUTE", false, "the most events per connection and minute"),
    ("RELAY_MAX_REQUESTS_PER_MINUTE", false, "the most requests per connection and minute"),
    (
        "RELAY_MAX_LOOK_UPS_PER_MINUTE",
        false,
        "how many stored rows the requests of a network address may read",
    ),
    ("RELAY_MAX_AUTHS_PER_MINUTE", false, "the most authentications per connection and minute"),
    (
        "RELAY_LIMIT_LOOPBACK",
        false,
        "whether rates and connection limits also apply to clients on the same machine",
    ),
    ("WALLET", false, "the provider of the wallet through which the agent is paid: lnbits, lnurl or nwc"),
    ("LIGHTNING_ADDRESS", false, "the Lightning address to which the agent is paid"),
    ("LNBITS_URL", false, "the URL of the LNbits server"),
    ("LNBITS_INVOICE_KEY", true, "the key with which invoices are created at the LNbits server"),
    ("NWC_URL", true, "the connection URI of a wallet (Nostr Wallet Connect, NIP-47)"),
    ("AUMOS_API_URL", false, "the URL of the backend to which the gateway forwards requests"),
    ("AUMOS_API_KEY", true, "what the gateway sends to the backend as bearer token"),
    ("GATEWAY_MAX_REQUESTS_PER_MINUTE", false, "how many requests each client may send to the gateway"),
    ("GATEWAY_TIMEOUT_SECONDS", false, "how long the backend may take for a request"),
    ("BLOSSOM_UPLOAD", false, "who may upload blobs: agent, allowed or any"),
    ("BLOSSOM_ALLOWED_PUBKEYS", false, "who may upload blobs besides the agent and the operators"),
    ("BLOSSOM_ALLOWED_TYPES", false, "the types of blobs that are accepted"),
    ("BLOSSOM_MAX_SIZE", false, "the size of the largest blob"),
    ("BLOSSOM_QUOTA", false, "how many bytes of blobs one key may own"),
    ("BLOSSOM_TTL", false, "how long an uploaded blob is kept"),
    ("RELAY_TRUSTED_PROXIES", false, "proxies whose client address header is trusted, natively"),
];

impl Requirements {
    /// What this agent needs.
    pub(super) fn of(agent: &AgentDeclaration) -> Self {
        let env_vars = VARIABLES.into_iter().map(|(name, secret, description)| {
            let description = description.to_owned();
            (name.to_owned(), VariableRequirement { required: false, description, secret })
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
