//! What an agent is and can do, as OpenAgents' `AgentManifest` (schema version 1.0): generated from its code, and
//! signed with its key.
//!
//! Only what the declarations say goes in, beside the public key and, if given, a [`LightningAddress`]. No type in here
//! can hold a secret, so a manifest can be shown to anybody.
//!
//! The fields and their JSON are those of OpenAgents' `crates/agents`, so its readers understand them. A job handler is a
//! *tool* there, whose `input_schema` is the JSON schema of the job's parameters; a *skill* is a word, here the handler's name.

mod canonical;
mod capabilities;
mod economics;
pub(crate) mod offer;
mod requirements;
mod schema;
mod signed;
mod strict_json;

use std::collections::BTreeMap;

use openagents_host::PublicKey;
use openagents_host::nostr::keys::npub;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::author::agent::Jobs;
use crate::declaration::AgentDeclaration;
use offer::Offer;

pub use capabilities::{Capabilities, InputCapability, OutputCapability, Tool};
pub use economics::{
    Economics, LightningAddress, ManifestWallet, NotALightningAddress, PaymentMethod, Pricing, RefundPolicy,
};
pub use requirements::{
    Environment, NetworkAccess, Preference, Requirements, Resources, VariableRequirement,
};
pub use signed::{ManifestError, SignedManifest};

/// Where the metadata says on which relays the agent is found.
const RELAYS: &str = "relays";

/// An agent's manifest.
///
/// Served signed: see [`signed`](Self::signed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentManifest {
    /// The version of this form: `1.0`.
    pub schema_version: String,
    /// The agent's public key, in hex.
    pub id: PublicKey,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// Who is behind it.
    #[serde(default)]
    pub author: Author,
    /// Its licence, as an SPDX expression; or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// Its home page; or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// Where its source is; or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// What it needs to run.
    #[serde(default)]
    pub requirements: Requirements,
    /// What its work costs.
    #[serde(default)]
    pub economics: Economics,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Which field it works in. The declarations do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// When it was made, in seconds since the Unix epoch. Left out by default: so the same agent has the same manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// When it was last changed, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<u64>,
    /// Whatever else there is to say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
}

/// Who is behind an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Author {
    /// The authors named in the crate, without their mail addresses.
    #[serde(default)]
    pub name: String,
    /// The agent's own public name.
    #[serde(default)]
    pub npub: String,
}

/// Which field an agent works in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Category {
    /// Programs.
    Coding,
    /// Finding things out.
    Research,
    /// Texts.
    Writing,
    /// Data.
    Data,
    /// Images.
    Image,
    /// Sound.
    Audio,
    /// Films.
    Video,
    /// Doing things for people.
    Automation,
    /// Security.
    Security,
    /// Money.
    Finance,
    /// All sorts of things.
    General,
    /// Some other field.
    Custom(String),
}

impl AgentManifest {
    /// The manifest of an agent that signs with this key.
    #[must_use]
    pub fn of<A: Jobs>(key: &PublicKey) -> Self {
        Self::new(&A::DECLARATION, &Offer::all::<A>(), key)
    }

    /// Says where the agent is paid.
    #[must_use]
    pub fn paid_at(mut self, address: LightningAddress) -> Self {
        self.economics.wallet = Some(ManifestWallet::lightning(address));
        self
    }

    /// Says on which relays the agent is found, in place of those that it declares.
    #[must_use]
    pub fn at_relays<'a>(mut self, relays: impl IntoIterator<Item = &'a str>) -> Self {
        let relays: Vec<&str> = relays.into_iter().collect();
        if relays.is_empty() {
            self.metadata.remove(RELAYS);
        } else {
            self.metadata.insert(RELAYS.to_owned(), json!(relays));
        }
        self
    }

    /// The manifest as JSON, unsigned.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts, finite numbers, lists and maps with textual keys always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn new(agent: &AgentDeclaration, offers: &[Offer], key: &PublicKey) -> Self {
        let manifest = Self {
            schema_version: "1.0".to_owned(),
            id: *key,
            name: agent.name.to_owned(),
            version: agent.version.to_owned(),
            description: agent.about.to_owned(),
            author: Author { name: author_names(agent.authors), npub: npub(key) },
            license: agent.license.to_owned(),
            homepage: agent.homepage.to_owned(),
            repository: agent.repository.to_owned(),
            capabilities: Capabilities::of(agent, offers),
            requirements: Requirements::of_any_agent(),
            economics: Economics::of(offers),
            tags: std::iter::once("nip90").chain(agent.topics.iter().copied()).map(str::to_owned).collect(),
            category: None,
            created_at: None,
            updated_at: None,
            metadata: BTreeMap::new(),
        };
        manifest.at_relays(agent.relays.iter().copied())
    }
}

/// The names in Cargo's list of authors (`Ada <ada@example.com>:Grace`), without the addresses.
fn author_names(authors: &str) -> String {
    let names = authors.split(':').map(|author| author.split('<').next().unwrap_or_default().trim());
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
