//! `Announcement`: a replaceable event that is published again from time to time.

use std::time::Duration;

use openagents_host::nostr::{Kind, KindClass, Tag};
use openagents_host::{Keys, PublicKey, Timestamp, UnsignedEvent, VerifiedEvent};
use serde_json::json;
use sha2::{Digest, Sha256};

/// How long an announcement stands before it is published again, unchanged: clients leave out old ones (Amethyst those of
/// more than 90 days), and relays may forget them.
const REFRESH: Duration = Duration::from_secs(7 * 24 * 60 * 60);

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
    pub(crate) fn new(
        author: PublicKey,
        relays: Vec<String>,
        kind: Kind,
        identifier: &str,
        content: String,
    ) -> Self {
        let announcement =
            Self { author, kind, tags: Vec::new(), content, relays, refresh: REFRESH, lifetime: None };
        if identifier.is_empty() { announcement } else { announcement.tag(["d", identifier]) }
    }

    pub(crate) fn tag<T: Into<String>>(mut self, tag: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tag.into_iter().map(Into::into).collect());
        self
    }

    pub(crate) fn every(mut self, refresh: Duration) -> Self {
        self.refresh = refresh;
        self
    }

    pub(crate) fn expiring_after(mut self, lifetime: Duration) -> Self {
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
        if self.kind.class() != KindClass::Addressable {
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

/// A request to delete announcements (kind 5, NIP-09), given by kind and `d` (empty for kinds without one).
///
/// It covers all their versions up to `at`.
#[must_use]
pub fn deletion<'a>(
    announcements: impl IntoIterator<Item = (Kind, &'a str)>,
    keys: &Keys,
    at: Timestamp,
) -> VerifiedEvent {
    let mut kinds: Vec<Kind> = Vec::new();
    let mut event = UnsignedEvent::new(Kind(5), "");
    for (kind, identifier) in announcements {
        event = event.tag(["a".to_owned(), format!("{kind}:{}:{identifier}", keys.public_key())]);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    event.tags(kinds.into_iter().map(|kind| vec!["k".to_owned(), kind.to_string()])).sign(keys, at)
}
