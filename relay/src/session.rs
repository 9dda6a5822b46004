//! The session of a connection: its id, where it comes from, and who has authenticated on it (NIP-42).

mod id;
mod origin;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use openagents_host::{Event, PublicKey};
use serde::{Deserialize, Serialize};

pub use self::id::{ConnectionId, Ticket};
pub use self::origin::Origin;

/// A connection.
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
    /// Whether it was told its challenge.
    #[serde(rename = "t", default, skip_serializing_if = "std::ops::Not::not")]
    is_challenged: bool,
}

impl ClientSession {
    /// A connection that was just made.
    #[must_use]
    pub fn new(origin: &Origin) -> Self {
        Self {
            challenge: origin.challenge.as_str().into(),
            address: origin.address,
            host: origin.host.clone(),
            ..Self::default()
        }
    }

    /// Where it comes from.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Under which host name the relay was reached.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whose it is: everybody who identified themselves on it.
    #[must_use]
    pub const fn authenticated(&self) -> &BTreeSet<PublicKey> {
        &self.authenticated
    }

    /// Whether it is the author's, or that of somebody whom the event names in a `p` tag.
    #[must_use]
    pub fn is_party_to(&self, event: &Event) -> bool {
        !self.authenticated.is_empty()
            && (self.authenticated.contains(&event.pubkey)
                || event
                    .tag_values("p")
                    .filter_map(|key| PublicKey::from_hex(key).ok())
                    .any(|key| self.authenticated.contains(&key)))
    }

    /// The challenge, unless the client has it already.
    pub(crate) fn challenge_once(&mut self) -> Option<Arc<str>> {
        (!std::mem::replace(&mut self.is_challenged, true)).then(|| Arc::clone(&self.challenge))
    }

    /// Whether this is the challenge.
    pub(crate) fn has_challenge(&self, challenge: &str) -> bool {
        !challenge.is_empty() && *self.challenge == *challenge
    }

    /// Notes that somebody has identified themselves; says whether there was room.
    pub(crate) fn authenticate(&mut self, who: PublicKey, at_most: usize) -> bool {
        if self.authenticated.len() >= at_most && !self.authenticated.contains(&who) {
            return false;
        }
        self.authenticated.insert(who);
        true
    }
}
