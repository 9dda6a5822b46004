//! The session of a connection: its id, its origin, and the keys that have authenticated on it (NIP-42).

mod id;
mod origin;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use openagents_host::{Event, PublicKey};
use serde::{Deserialize, Serialize};

pub use self::id::{ConnectionId, Ticket};
pub use self::origin::Origin;

/// The session of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSession {
    #[serde(rename = "c")]
    challenge: Arc<str>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(rename = "a", default, skip_serializing_if = "BTreeSet::is_empty")]
    authenticated: BTreeSet<PublicKey>,
    /// Whether the challenge was sent.
    #[serde(rename = "t", default, skip_serializing_if = "std::ops::Not::not")]
    is_challenged: bool,
}

impl ClientSession {
    /// The session of a new connection.
    #[must_use]
    pub fn new(origin: &Origin) -> Self {
        Self {
            challenge: origin.challenge.as_str().into(),
            address: origin.address,
            host: origin.host.clone(),
            authenticated: origin.authenticated.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The client's address, if known.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The host name by which the relay was reached, if known.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The keys that have authenticated on the connection.
    #[must_use]
    pub const fn authenticated(&self) -> &BTreeSet<PublicKey> {
        &self.authenticated
    }

    /// Whether an authenticated key is the author of the event or named in a `p` tag.
    #[must_use]
    pub fn is_party_to(&self, event: &Event) -> bool {
        !self.authenticated.is_empty()
            && (self.authenticated.contains(&event.pubkey)
                || event
                    .tag_values("p")
                    .filter_map(|key| PublicKey::from_hex(key).ok())
                    .any(|key| self.authenticated.contains(&key)))
    }

    /// The challenge, unless it has been sent before.
    pub(crate) fn challenge_once(&mut self) -> Option<Arc<str>> {
        (!std::mem::replace(&mut self.is_challenged, true)).then(|| Arc::clone(&self.challenge))
    }

    /// Whether this is the challenge.
    pub(crate) fn has_challenge(&self, challenge: &str) -> bool {
        !challenge.is_empty() && *self.challenge == *challenge
    }

    /// Records an authenticated key; returns false if there are too many.
    pub(crate) fn authenticate(&mut self, who: PublicKey, at_most: usize) -> bool {
        if self.authenticated.len() >= at_most && !self.authenticated.contains(&who) {
            return false;
        }
        self.authenticated.insert(who);
        true
    }
}
