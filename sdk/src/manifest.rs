//! An agent's signed manifest: OpenAgents' `AgentManifest` (schema version 1.0), generated from its code.
//!
//! The manifest holds only what the declarations say, the public key and, if given, a [`LightningAddress`]. None of
//! its types can hold a secret, so a manifest can be shown to anyone.
//!
//! Fields and JSON match OpenAgents' `crates/agents`, so its readers understand them. There, a job handler is a
//! *tool* whose `input_schema` is the JSON schema of its parameters; a *skill* is a word, here the handler's name.

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

pub use capabilities::{Capabilities, InputCapability, OutputCapability, RouteCapability, Tool};
pub use economics::{
    Economics, LightningAddress, ManifestWallet, NotALightningAddress, PaymentMethod, Pricing, RefundPolicy,
};
pub use requirements::{
    Environment, NetworkAccess, Preference, Requirements, Resources, VariableRequirement,
};
pub use signed::{ManifestError, SignedManifest};

/// The metadata key for the relays on which the agent is found.
const RELAYS: &str = "relays";

/// An agent's manifest.
///
/// It is served with a signature: see [`signed`](Self::signed).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentManifest {
    /// The schema version: `1.0`.
    pub schema_version: String,
    /// The agent's public key, in hex.
    pub id: PublicKey,
    /// The agent's name.
    pub name: String,
    /// The agent's version.
    pub version: String,
    /// What the agent does.
    #[serde(default)]
    pub description: String,
    /// The author and the agent's public key as npub.
    #[serde(default)]
    pub author: Author,
    /// The licence as an SPDX expression, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// URL of the home page, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// URL of the source repository, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// Tools, job kinds, inputs and outputs.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Prices and payment methods.
    #[serde(default)]
    pub economics: Economics,
    /// Keywords.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The agent's field. Agents of this SDK do not declare one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// When the manifest was made, in seconds since the Unix epoch. Left out by default, so that the same agent has
    /// the same manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// When the manifest was last changed, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<u64>,
    /// Any other data, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// What the agent needs to run: last in JSON, where people look for what it can do.
    #[serde(default)]
    pub requirements: Requirements,
}

/// The author of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Author {
    /// The names of the crate's authors, without their email addresses.
    #[serde(default)]
    pub name: String,
    /// The agent's public key as an npub.
    #[serde(default)]
    pub npub: String,
}

/// The field in which an agent works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Category {
    /// Programming.
    Coding,
    /// Research.
    Research,
    /// Writing.
    Writing,
    /// Data.
    Data,
    /// Images.
    Image,
    /// Audio.
    Audio,
    /// Video.
    Video,
    /// Automation of tasks.
    Automation,
    /// Security.
    Security,
    /// Finance.
    Finance,
    /// No particular field.
    General,
    /// Another field.
    Custom(String),
}

impl AgentManifest {
    /// The manifest of the agent `A` with this public key.
    #[must_use]
    pub fn of<A: Jobs>(key: &PublicKey) -> Self {
        let mut manifest = Self::new(&A::DECLARATION, &Offer::all::<A>(), key);
        let routes = A::ROUTES.iter().map(|route| RouteCapability::from(&route.declaration));
        manifest.capabilities.routes = routes.collect();
        manifest
    }

    /// Sets the Lightning address at which the agent is paid.
    #[must_use]
    pub fn paid_at(mut self, address: LightningAddress) -> Self {
        self.economics.wallet = Some(ManifestWallet::lightning(address));
        self
    }

    /// Sets the relays on which the agent is found, in place of the declared ones.
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

    /// The unsigned manifest as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, finite numbers, lists and maps with string keys always serialise.
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
            requirements: Requirements::of(agent),
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

/// The names in Cargo's list of authors (`Ada <ada@example.com>:Grace`), without email addresses.
fn author_names(authors: &str) -> String {
    let names = authors.split(':').map(|author| author.split('<').next().unwrap_or_default().trim());
    names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
