//! How an agent is found: what it announces about itself on relays, made from its declarations.
//!
//! | kind | what | for whom |
//! |---|---|---|
//! | 31990 | which jobs it does (NIP-89) | clients that look for a provider of a kind |
//! | 0 | its profile (NIP-01, NIP-24) | clients that show its name |
//! | 10002 | its relays (NIP-65) | clients that answer it, or send it a request |
//! | 11998 | that it is alive (nips#2465, a draft) | clients that leave out what is dead; only if it has a `heartbeat` |
//!
//! Everything here is a pure function of the declarations; when something is published is up to the engine.

mod handler_information;
mod nip05;
mod relays;

use openagents_host::PublicKey;
use openagents_host::nostr::Kind;
use serde::Serialize;

use crate::author::agent::Jobs;
use crate::declaration::AgentDeclaration;
use crate::manifest::LightningAddress;
use crate::manifest::offer::Offer;
use relays::same_relay;

pub use crate::announcement::{Announcement, deletion};
pub use nip05::nip05_document;

/// The kind of profiles (NIP-01).
pub const METADATA: Kind = Kind(0);

/// The kind of relay lists (NIP-65).
pub const RELAY_LIST: Kind = Kind(10_002);

/// The kind of heartbeats (nips#2465).
pub const HEARTBEAT: Kind = Kind(11_998);

/// The kind of handler information (NIP-89).
pub const HANDLER_INFORMATION: Kind = Kind(31_990);

/// How many heartbeats may be lost before an agent counts as dead.
const BEATS: u32 = 3;

/// What an agent announces about itself.
///
/// ```
/// use openagents_sdk::discovery::{HANDLER_INFORMATION, Profile};
/// use openagents_sdk::nostr::PublicKey;
///
/// fn announced<A: openagents_sdk::Jobs>(key: PublicKey) -> bool {
///     let profile = Profile::of::<A>(key).at_relay("wss://agent.example.com");
///     profile.announcements().iter().any(|announcement| announcement.kind() == HANDLER_INFORMATION)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Profile {
    agent: AgentDeclaration,
    offers: Vec<Offer>,
    key: PublicKey,
    own_relays: Vec<String>,
    external_relays: Vec<String>,
    lightning_address: Option<LightningAddress>,
    insecure_relays: bool,
}

impl Profile {
    /// What an agent with this key announces, at the relays that it declares.
    #[must_use]
    pub fn of<A: Jobs>(key: PublicKey) -> Self {
        Self::new(A::DECLARATION, Offer::all::<A>(), key)
    }

    /// Adds a public address of the agent's own relay.
    #[must_use]
    pub fn at_relay(mut self, url: impl Into<String>) -> Self {
        self.own_relays.push(url.into());
        self
    }

    /// Sets the external relays that the agent serves, in place of those that it declares.
    #[must_use]
    pub fn serving(mut self, relays: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.external_relays = relays.into_iter().map(Into::into).collect();
        self
    }

    /// Says where the agent is paid.
    #[must_use]
    pub fn paid_at(mut self, address: LightningAddress) -> Self {
        self.lightning_address = Some(address);
        self
    }

    /// Announces relays without TLS (`ws://`) too. They are left out otherwise: most of them are on somebody's own machine.
    #[must_use]
    pub fn with_insecure_relays(mut self) -> Self {
        self.insecure_relays = true;
        self
    }

    /// An announcement of this kind by this agent, on the external relays that it serves.
    fn announcement(&self, kind: Kind, identifier: &str, content: String) -> Announcement {
        Announcement::new(self.key, self.external_relays.clone(), kind, identifier, content)
    }

    /// The relays that are announced: the agent's own first, each once. An address with a password or a query in it is
    /// nobody else's business and left out.
    #[must_use]
    pub fn relays(&self) -> Vec<&str> {
        let mut relays: Vec<&str> = Vec::new();
        for url in self.own_relays.iter().chain(&self.external_relays).map(|url| url.trim()) {
            let announced = relays::is_public(url) || (self.insecure_relays && relays::is_insecure(url));
            if announced && !relays.iter().any(|known| same_relay(known, url)) {
                relays.push(url);
            }
        }
        relays
    }

    /// All that the agent announces.
    #[must_use]
    pub fn announcements(&self) -> Vec<Announcement> {
        let mut announcements = vec![self.handler_information(), self.metadata()];
        announcements.extend(self.relay_list());
        announcements.extend(self.heartbeat());
        announcements
    }

    /// Which jobs the agent does (kind 31990, NIP-89).
    #[must_use]
    pub fn handler_information(&self) -> Announcement {
        handler_information::of(self)
    }

    /// Who the agent is (kind 0, NIP-01 and NIP-24).
    #[must_use]
    pub fn metadata(&self) -> Announcement {
        let content = Metadata {
            name: self.agent.name,
            about: self.agent.about,
            picture: self.agent.picture,
            website: self.agent.homepage,
            nip05: self.agent.nip05,
            lud16: self.lud16(),
            bot: true,
        };
        self.announcement(METADATA, "", json(&content))
    }

    /// Where the agent reads and writes (kind 10002, NIP-65); nothing when it has no relay to show.
    #[must_use]
    pub fn relay_list(&self) -> Option<Announcement> {
        let relays = self.relays();
        let list = self.announcement(RELAY_LIST, "", String::new());
        (!relays.is_empty()).then(|| relays.into_iter().fold(list, |list, url| list.tag(["r", url])))
    }

    /// That the agent is alive (kind 11998, nips#2465); nothing when it does not say so.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Announcement> {
        let interval = self.agent.heartbeat?;
        let beat = self
            .announcement(HEARTBEAT, "", String::new())
            .tag(["d", self.agent.name])
            .tag(["status", "online"])
            .every(interval)
            .expiring_after(interval.saturating_mul(BEATS));
        Some(beat)
    }

    /// What is served at `/.well-known/nostr.json` (NIP-05), so that the agent's name leads to its key: the name that it
    /// declares as its `nip05`, or else the one it has.
    #[must_use]
    pub fn nip05_document(&self) -> String {
        nip05_document(self.nip05_name(), &self.key, &self.relays())
    }

    pub(crate) fn nip05_name(&self) -> &str {
        let declared = self.agent.nip05.split_once('@').map(|(name, _)| name);
        declared.filter(|name| !name.is_empty()).unwrap_or(self.agent.name)
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.key
    }

    pub(crate) fn new(agent: AgentDeclaration, offers: Vec<Offer>, key: PublicKey) -> Self {
        Self {
            offers,
            key,
            own_relays: Vec::new(),
            external_relays: agent.relays.iter().map(|&url| url.to_owned()).collect(),
            lightning_address: None,
            insecure_relays: false,
            agent,
        }
    }

    fn lud16(&self) -> &str {
        self.lightning_address.as_ref().map_or("", LightningAddress::as_str)
    }
}

/// The content of a profile.
#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    about: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    picture: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    website: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    nip05: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lud16: &'a str,
    bot: bool,
}

fn json(content: &impl Serialize) -> String {
    // Texts, booleans and lists always serialise.
    serde_json::to_string(content).unwrap_or_default()
}

#[cfg(test)]
mod tests;
