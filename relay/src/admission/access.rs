//! Authentication (NIP-42) and what requires it: reading, writing, private kinds (NIP-17, NIP-59).

use std::collections::BTreeSet;

use openagents_host::{Event, Kind, Timestamp};

use crate::reason::Reason;
use crate::session::ClientSession;
use openagents_host::nostr::filter::{Filter, OneOf};

/// The kind of the event by which a client identifies itself (NIP-42). It is never stored and never passed on.
pub const AUTHENTICATION: Kind = Kind(22_242);

/// The kinds of gift wraps (NIP-59): the one that is kept and the one that is not.
pub(crate) const GIFT_WRAPS: [Kind; 2] = [Kind(1_059), Kind(21_059)];

/// The kind of the older private messages (NIP-04).
const PRIVATE_MESSAGE: Kind = Kind(4);

/// How far the time of that event may differ from the relay's clock, in seconds.
const MAX_CLOCK_DIFFERENCE: u64 = 600;

/// What requires authentication (NIP-42), and which kinds are private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Under which host names this relay is reached, in lower case and without a port: a client's identification is for
    /// one of these. The one that the platform vouches for counts as well.
    pub hosts: BTreeSet<String>,
    /// Whether reading requires authentication.
    pub auth_to_read: bool,
    /// Whether publishing requires authentication.
    pub auth_to_write: bool,
    /// The kinds that only their author and those whom they name in a `p` tag can read: messages (NIP-04) and gift
    /// wraps (NIP-59), unless something else is said.
    pub private_kinds: OneOf<Kind>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            hosts: BTreeSet::new(),
            auth_to_read: false,
            auth_to_write: false,
            private_kinds: [PRIVATE_MESSAGE].into_iter().chain(GIFT_WRAPS).collect(),
        }
    }
}

impl Access {
    /// Whether this event identifies its author on this connection (NIP-42, "Signed Event Verification").
    ///
    /// # Errors
    /// Says what does not hold.
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
                "this relay does not know its own address; its operator has to set RELAY_URL",
            ));
        }
        Err(Reason::invalid("the relay tag names another relay"))
    }

    fn is_own_host(&self, session: Option<&ClientSession>, host: &str) -> bool {
        self.hosts.contains(host)
            || session.and_then(ClientSession::host).is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether this relay has such an address (the `relay` tag of NIP-62).
    #[must_use]
    pub fn is_own_address(&self, session: Option<&ClientSession>, url: &str) -> bool {
        host_of(url).is_some_and(|host| self.is_own_host(session, &host))
    }

    /// Whether a request to vanish is meant for this relay: all are, or one of its addresses is named (NIP-62).
    #[must_use]
    pub(crate) fn is_to_vanish_here(&self, session: Option<&ClientSession>, request: &Event) -> bool {
        let is_meant = |relay: &str| relay == "ALL_RELAYS" || self.is_own_address(session, relay);
        request.tag_values("relay").any(is_meant)
    }

    /// Whether this connection may ask with these filters.
    ///
    /// A filter that names no kinds finds private events only of whoever asks. One that names private kinds and people
    /// says whose messages are wanted: those of others are refused rather than left out.
    ///
    /// # Errors
    /// Says who may.
    pub(crate) fn may_read(&self, session: &ClientSession, filters: &[Filter]) -> Result<(), Reason> {
        let is_known = !session.authenticated().is_empty();
        if self.auth_to_read && !is_known {
            return Err(Reason::auth_required("this relay is read only by those who identify themselves"));
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
                    "private messages are for those who wrote them or are named in them",
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
                return Err(Reason::restricted("these are the private messages of others"));
            }
        }
        Ok(())
    }

    /// Whether this connection may be told of an event that it subscribed to.
    pub(crate) fn may_hear(&self, session: &ClientSession, event: &Event) -> bool {
        !self.private_kinds.contains(&event.kind) || session.is_party_to(event)
    }
}

/// The host name of a relay's address, in lower case.
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
