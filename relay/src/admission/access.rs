//! Authentication (NIP-42) and what requires it: reading, writing, private kinds (NIP-17, NIP-59).

use std::collections::BTreeSet;

use openagents_host::{Event, Kind, Timestamp};

use crate::reason::Reason;
use crate::session::ClientSession;
use openagents_host::nostr::filter::{Filter, OneOf};

/// The kind of events with which clients authenticate (NIP-42). They are neither stored nor broadcast.
pub const AUTHENTICATION: Kind = Kind(22_242);

/// The kinds of gift wraps (NIP-59), a regular and an ephemeral one.
pub(crate) const GIFT_WRAPS: [Kind; 2] = [Kind(1_059), Kind(21_059)];

/// The kind of legacy private messages (NIP-04).
const PRIVATE_MESSAGE: Kind = Kind(4);

/// How far `created_at` of an authentication event may differ from the relay's clock, in seconds.
const MAX_CLOCK_DIFFERENCE: u64 = 600;

/// What requires authentication (NIP-42), and which kinds are private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The host names of this relay, in lower case and without a port; authentication events must name one of them.
    /// The host name reported by the platform is accepted as well.
    pub hosts: BTreeSet<String>,
    /// Whether clients are sent their challenge when they connect, and not only when they need it.
    pub challenges_at_once: bool,
    /// Whether reading requires authentication.
    pub auth_to_read: bool,
    /// Whether publishing requires authentication.
    pub auth_to_write: bool,
    /// The kinds that only their author and the keys in their `p` tags can read. By default, messages (NIP-04) and
    /// gift wraps (NIP-59).
    pub private_kinds: OneOf<Kind>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            hosts: BTreeSet::new(),
            challenges_at_once: true,
            auth_to_read: false,
            auth_to_write: false,
            private_kinds: [PRIVATE_MESSAGE].into_iter().chain(GIFT_WRAPS).collect(),
        }
    }
}

impl Access {
    /// Whether this event authenticates its author on this connection (NIP-42, "Signed Event Verification").
    ///
    /// # Errors
    /// What is wrong with the event.
    pub(crate) fn authenticates(
        &self,
        now: Timestamp,
        session: &ClientSession,
        event: &Event,
    ) -> Result<(), Reason> {
        if event.kind != AUTHENTICATION {
            return Err(Reason::invalid("AUTH needs an event of kind 22242"));
        }
        if event.created_at.abs_diff(now.as_seconds()) > MAX_CLOCK_DIFFERENCE {
            return Err(Reason::invalid(format!(
                "created_at must be within {MAX_CLOCK_DIFFERENCE} seconds of now"
            )));
        }
        if !event.tag_values("challenge").next().is_some_and(|challenge| session.has_challenge(challenge)) {
            return Err(Reason::invalid("the challenge is not the one of this connection"));
        }
        let Some(host) = event.tag_values("relay").next().and_then(host_of) else {
            return Err(Reason::invalid("the relay tag must hold this relay's address"));
        };
        if self.is_own_host(Some(session), &host) {
            return Ok(());
        }
        if self.hosts.is_empty() && session.host().is_none() {
            return Err(Reason::restricted(
                "this relay does not know its own address; its operator must set RELAY_URL",
            ));
        }
        Err(Reason::invalid("the relay tag names another relay"))
    }

    fn is_own_host(&self, session: Option<&ClientSession>, host: &str) -> bool {
        self.hosts.contains(host)
            || session.and_then(ClientSession::host).is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether this URL is an address of this relay (the `relay` tag of NIP-62).
    #[must_use]
    pub fn is_own_address(&self, session: Option<&ClientSession>, url: &str) -> bool {
        host_of(url).is_some_and(|host| self.is_own_host(session, &host))
    }

    /// Whether a request to vanish is addressed to this relay: it names all relays, or an address of this one
    /// (NIP-62).
    #[must_use]
    pub(crate) fn is_to_vanish_here(&self, session: Option<&ClientSession>, request: &Event) -> bool {
        let is_meant = |relay: &str| relay == "ALL_RELAYS" || self.is_own_address(session, relay);
        request.tag_values("relay").any(is_meant)
    }

    /// Whether this connection may use these filters to read.
    ///
    /// A filter without kinds finds only those private events that the reader may see. A filter that names private
    /// kinds and public keys clearly asks for the messages of these keys, so it is refused if they are not the
    /// reader's.
    ///
    /// # Errors
    /// Who may use them.
    pub(crate) fn may_read(&self, session: &ClientSession, filters: &[Filter]) -> Result<(), Reason> {
        let is_known = !session.authenticated().is_empty();
        if self.auth_to_read && !is_known {
            return Err(Reason::auth_required("reading from this relay requires authentication"));
        }
        for filter in filters {
            let wants_private = filter
                .kinds
                .as_ref()
                .is_some_and(|kinds| kinds.iter().any(|kind| self.private_kinds.contains(kind)));
            if !wants_private {
                continue;
            }
            if !is_known {
                return Err(Reason::auth_required(
                    "private messages can be read only by their authors and recipients",
                ));
            }
            let own = |key: &openagents_host::PublicKey| session.authenticated().contains(key);
            let authors = filter.authors.as_ref().map(|authors| authors.iter().any(own));
            let named = filter.tags.get(&openagents_host::nostr::tag::TagName::P).map(|named| {
                named
                    .iter()
                    .filter_map(|key| openagents_host::PublicKey::from_hex(key).ok())
                    .any(|key| own(&key))
            });
            if matches!((authors, named), (Some(false), None | Some(false)) | (None, Some(false))) {
                return Err(Reason::restricted("private messages of others cannot be read"));
            }
        }
        Ok(())
    }

    /// Whether this connection may receive an event that one of its subscriptions matches.
    pub(crate) fn may_receive(&self, session: &ClientSession, event: &Event) -> bool {
        !self.private_kinds.contains(&event.kind) || session.is_party_to(event)
    }
}

/// The host name in a relay URL, in lower case.
#[must_use]
pub fn host_of(url: &str) -> Option<String> {
    let url = url.trim();
    let (scheme, rest) = url.split_once("://")?;
    if !["ws", "wss", "http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    if authority.contains('@') {
        return None;
    }
    let host = match authority.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn takes_the_host_of_an_address_and_nothing_that_only_looks_like_it() {
        for (url, host) in [
            ("wss://Relay.Example.com/", Some("relay.example.com")),
            ("ws://127.0.0.1:8787", Some("127.0.0.1")),
            ("wss://relay.example.com./x?y", Some("relay.example.com")),
            ("ws://[::1]:80/", Some("::1")),
            ("wss://relay.example.com@evil.example/", None),
            ("wss://evil.example\\relay.example.com", Some("evil.example")),
            ("relay.example.com", None),
            ("ftp://relay.example.com", None),
            ("wss://", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }
}
