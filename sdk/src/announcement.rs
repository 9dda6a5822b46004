//! `Announcement`: a replaceable event that is published again at intervals.

use std::time::Duration;

use openagents_host::nostr::{Kind, KindClass, Tag};
use openagents_host::{Keys, PublicKey, Timestamp, UnsignedEvent, VerifiedEvent};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The default interval of announcements. Clients ignore old ones (Amethyst those of more than 90 days), and relays
/// may drop them.
const REFRESH: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// An announcement of an agent: a replaceable or addressable event (NIP-01), without its times.
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
    /// An announcement whose only tag is `d`, if it has an identifier.
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

    /// The event kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The identifier that, together with kind and author, names what this event replaces: the `d` tag of an
    /// addressable event, otherwise empty.
    #[must_use]
    pub fn identifier(&self) -> &str {
        if self.kind.class() != KindClass::Addressable {
            return "";
        }
        let identifier = self.tags.iter().find(|tag| tag.first().is_some_and(|name| name == "d"));
        identifier.and_then(|tag| tag.get(1)).map_or("", String::as_str)
    }

    /// The external relays on which it is published.
    #[must_use]
    pub fn relays(&self) -> &[String] {
        &self.relays
    }

    /// The interval at which it is published again.
    #[must_use]
    pub fn refresh(&self) -> Duration {
        self.refresh
    }

    /// The unsigned event for publication at `at`, which must become its `created_at`. It may have an expiration
    /// (NIP-40).
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

    /// A digest of everything but the times. If it changes, the announcement must be published again.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let lifetime = self.lifetime.map(|lifetime| lifetime.as_secs());
        let said = json!([self.author, self.kind, self.tags, self.content, self.relays, lifetime]);
        Sha256::digest(said.to_string()).into()
    }
}

/// A deletion request (kind 5, NIP-09) for announcements, given by kind and `d` (empty for kinds without one).
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
