//! What an agent announces about itself on relays, made from its declaration.
//!
//! | kind | content | used by |
//! |---|---|---|
//! | 31990 | its job kinds (NIP-89) | clients that look for a provider of a kind |
//! | 0 | its profile (NIP-01, NIP-24) | clients that show its name |
//! | 10002 | its relays (NIP-65) | clients that send requests to it or answer it |
//! | 10050 | the relay for direct messages (NIP-17) | clients that write to it; only if it answers direct messages |
//! | 11998 | a heartbeat (nips#2465, a draft) | clients that hide dead agents; only if it declares a `heartbeat` |
//!
//! Everything here is a pure function of the declaration; the engine decides when to publish.

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

/// The kind of lists of relays for direct messages (NIP-17).
pub const DIRECT_MESSAGE_RELAYS: Kind = Kind::DIRECT_MESSAGE_RELAYS;

/// The kind of heartbeats (nips#2465).
pub const HEARTBEAT: Kind = Kind(11_998);

/// The kind of handler information (NIP-89).
pub const HANDLER_INFORMATION: Kind = Kind(31_990);

/// How many heartbeats may be missing before an agent counts as dead.
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
    takes_direct_messages: bool,
}

impl Profile {
    /// The announcements of the agent `A` with this key, for the relays that it declares.
    #[must_use]
    pub fn of<A: Jobs>(key: PublicKey) -> Self {
        let profile = Self::new(A::DECLARATION, Offer::all::<A>(), key);
        Self { takes_direct_messages: A::DIRECT_MESSAGE.is_some(), ..profile }
    }

    /// Adds a public URL of the agent's own relay.
    #[must_use]
    pub fn at_relay(mut self, url: impl Into<String>) -> Self {
        self.own_relays.push(url.into());
        self
    }

    /// Sets the external relays that the agent serves, in place of the declared ones.
    #[must_use]
    pub fn serving(mut self, relays: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.external_relays = relays.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the Lightning address at which the agent is paid.
    #[must_use]
    pub fn paid_at(mut self, address: LightningAddress) -> Self {
        self.lightning_address = Some(address);
        self
    }

    /// Also announces relays without TLS (`ws://`). By default they are left out, since most of them are on private
    /// machines.
    #[must_use]
    pub fn with_insecure_relays(mut self) -> Self {
        self.insecure_relays = true;
        self
    }

    /// An announcement of this kind, to be published on the external relays that the agent serves.
    fn announcement(&self, kind: Kind, identifier: &str, content: String) -> Announcement {
        Announcement::new(self.key, self.external_relays.clone(), kind, identifier, content)
    }

    /// The jobs that the agent offers, in source order of the handlers.
    pub(crate) fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The announced relays, without duplicates, the agent's own first. URLs with a password or a query are left out,
    /// since they may hold secrets.
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

    /// All announcements of the agent.
    #[must_use]
    pub fn announcements(&self) -> Vec<Announcement> {
        let mut announcements = vec![self.handler_information(), self.metadata()];
        announcements.extend(self.relay_list());
        announcements.extend(self.direct_message_relays());
        announcements.extend(self.heartbeat());
        announcements
    }

    /// The agent's job kinds (kind 31990, NIP-89).
    #[must_use]
    pub fn handler_information(&self) -> Announcement {
        handler_information::of(self)
    }

    /// The agent's profile (kind 0, NIP-01 and NIP-24).
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

    /// The agent's relays (kind 10002, NIP-65); `None` if no relay can be announced.
    #[must_use]
    pub fn relay_list(&self) -> Option<Announcement> {
        let relays = self.relays();
        let list = self.announcement(RELAY_LIST, "", String::new());
        (!relays.is_empty()).then(|| relays.into_iter().fold(list, |list, url| list.tag(["r", url])))
    }

    /// The relay for direct messages to the agent (kind 10050, NIP-17): its own, since it reads them nowhere else. `None` if
    /// it answers none, or its own relay cannot be announced.
    #[must_use]
    pub fn direct_message_relays(&self) -> Option<Announcement> {
        let own: Vec<&str> = self.relays().into_iter().filter(|url| self.is_own(url)).collect();
        let list = self.announcement(DIRECT_MESSAGE_RELAYS, "", String::new());
        let is_needed = self.takes_direct_messages && !own.is_empty();
        is_needed.then(|| own.into_iter().fold(list, |list, url| list.tag(["relay", url])))
    }

    fn is_own(&self, url: &str) -> bool {
        self.own_relays.iter().any(|own| same_relay(own, url))
    }

    /// The agent's heartbeat (kind 11998, nips#2465); `None` if it declares none.
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

    /// The document for `/.well-known/nostr.json` (NIP-05), which maps the agent's name to its key: the name in its
    /// declared `nip05`, or else its own name.
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
            takes_direct_messages: false,
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
    // Strings, booleans and lists always serialise.
    serde_json::to_string(content).unwrap_or_default()
}

#[cfg(test)]
mod tests;
