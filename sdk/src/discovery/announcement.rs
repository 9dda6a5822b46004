//! An event that replaces its predecessors, and is published again from time to time.

use std::time::Duration;

use openagents_host::event::{Kind, Retention, Tag};
use openagents_host::{PublicKey, Timestamp, UnsignedEvent};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Profile, REFRESH};

/// Something an agent announces: a replaceable or addressable event (NIP-01), without the times in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    author: PublicKey,
    kind: Kind,
    tags: Vec<Tag>,
    content: String,
    relays: Vec<String>,
    refresh: Duration,
    lifetime: Option<Duration>,
}

impl Announcement {
    /// An announcement without tags but `d`, if it has one.
    pub(super) fn new(profile: &Profile, kind: Kind, identifier: &str, content: String) -> Self {
        let announcement = Self {
            author: profile.key,
            kind,
            tags: Vec::new(),
            content,
            relays: profile.outside_relays.clone(),
            refresh: REFRESH,
            lifetime: None,
        };
        if identifier.is_empty() { announcement } else { announcement.tag(["d", identifier]) }
    }

    pub(super) fn tag<T: Into<String>>(mut self, tag: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tag.into_iter().map(Into::into).collect());
        self
    }

    pub(super) fn every(mut self, refresh: Duration) -> Self {
        self.refresh = refresh;
        self
    }

    pub(super) fn expiring_after(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it replaces its predecessors under, beside its kind: its `d` if that is an address; else empty.
    #[must_use]
    pub fn identifier(&self) -> &str {
        if self.kind.retention() != Retention::Addressable {
            return "";
        }
        let identifier = self.tags.iter().find(|tag| tag.first().is_some_and(|name| name == "d"));
        identifier.and_then(|tag| tag.get(1)).map_or("", String::as_str)
    }

    /// The relays that it is to be published on, beside the agent's own.
    #[must_use]
    pub fn relays(&self) -> &[String] {
        &self.relays
    }

    /// How long it stands before it is published again.
    #[must_use]
    pub fn refresh(&self) -> Duration {
        self.refresh
    }

    /// The event, as it is published at a time: that time is to be its `created_at`. What it says may expire (NIP-40).
    #[must_use]
    pub fn event(&self, at: Timestamp) -> UnsignedEvent {
        let event = UnsignedEvent::new(self.kind, self.content.clone()).tags(self.tags.iter().cloned());
        match self.lifetime {
            Some(lifetime) => {
                let expiration = (at + lifetime).as_seconds().to_string();
                event.tag(["expiration".to_owned(), expiration])
            }
            None => event,
        }
    }

    /// A digest of all but the time: another one means that there is something new to tell, or somewhere new to tell it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let lifetime = self.lifetime.map(|lifetime| lifetime.as_secs());
        let said = json!([self.author, self.kind, self.tags, self.content, self.relays, lifetime]);
        Sha256::digest(said.to_string()).into()
    }
}
