//! Allow and block lists: public keys, kinds, events, addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use openagents_host::{Event, EventId, Kind, PublicKey};

use super::Network;
use crate::reason::{Prefix, Reason};

/// How many entries an operator's list can have. All of them are held in memory.
pub const MAX_LISTED: usize = 20_000;

/// Allow and block lists. An empty allow list allows everything. Blocking takes precedence over allowing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// If not empty, only these keys may publish.
    pub allowed_pubkeys: BTreeSet<PublicKey>,
    /// Keys whose events are refused.
    pub blocked_pubkeys: BTreeSet<PublicKey>,
    /// If not empty, only events of these kinds are accepted.
    pub allowed_kinds: BTreeSet<Kind>,
    /// Kinds whose events are refused.
    pub blocked_kinds: BTreeSet<Kind>,
    /// Events that are refused.
    pub blocked_events: BTreeSet<EventId>,
    /// Networks that may not connect.
    pub blocked_addresses: BTreeSet<Network>,
}

impl Lists {
    /// Whether an event is acceptable regardless of who publishes it. It need not be verified, since a forged event is
    /// refused anyway; but one with a wrong id passes, so that its sender does not learn which ids are banned.
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn admit(&self, event: &Event) -> Result<(), Reason> {
        let blocked = |text: &'static str| Err(Reason::new(Prefix::Blocked, text));
        if self.blocked_kinds.contains(&event.kind) || !allows(&self.allowed_kinds, &event.kind) {
            return Err(Reason::new(
                Prefix::Blocked,
                format!("events of kind {} are not accepted here", event.kind),
            ));
        }
        if self.blocked_pubkeys.contains(&event.pubkey) {
            return blocked("this author is banned here");
        }
        if self.blocked_events.contains(&event.id) && event.has_valid_id() {
            return blocked("this event is banned here");
        }
        Ok(())
    }

    /// Whether an event may be published: its author is allowed, or a key that authenticated on the connection is
    /// allowed and not banned. NIP-42 allows the latter, and gift wraps need it, because their authors are one-time
    /// keys (NIP-59).
    ///
    /// # Errors
    /// Who may publish.
    pub fn admit_writer(&self, event: &Event, authenticated: &BTreeSet<PublicKey>) -> Result<(), Reason> {
        let allowed = &self.allowed_pubkeys;
        let mut bringers = allowed.intersection(authenticated);
        if allows(allowed, &event.pubkey) || bringers.any(|key| !self.blocked_pubkeys.contains(key)) {
            return Ok(());
        }
        let text = "only public keys allowed by the operator may publish here";
        Err(if authenticated.is_empty() { Reason::auth_required(text) } else { Reason::restricted(text) })
    }

    /// Whether clients at this address may not connect.
    #[must_use]
    pub fn blocks(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.blocked_addresses.contains(&Network::of(address)))
    }

    /// Whether the lists restrict who may publish or what: NIP-11's `restricted_writes`.
    #[must_use]
    pub fn restricts_writes(&self) -> bool {
        !self.allowed_pubkeys.is_empty() || !self.allowed_kinds.is_empty()
    }

    /// Whether these lists accept this kind from some author.
    #[must_use]
    pub fn takes_kind(&self, kind: Kind) -> bool {
        allows(&self.allowed_kinds, &kind)
            && !self.blocked_kinds.contains(&kind)
            && self.allowed_pubkeys.is_empty()
    }
}

fn allows<T: Ord>(allowed: &BTreeSet<T>, found: &T) -> bool {
    allowed.is_empty() || allowed.contains(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openagents_host::Kind;

    use super::{Lists, Network};
    use crate::fixtures;

    fn refusal(lists: &Lists, key: usize, kind: u16) -> String {
        let event = fixtures::signed_by(&fixtures::keys(key), kind, 1, &[], "");
        let admitted = lists.admit(&event).and_then(|()| lists.admit_writer(&event, &BTreeSet::new()));
        admitted.err().map(|reason| reason.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_empty_list_of_the_allowed_allows_all() {
        assert_eq!(refusal(&Lists::default(), 0, 1), "");
        assert!(!Lists::default().restricts_writes());
    }

    #[test]
    fn only_the_allowed_may_write_and_the_blocked_never() {
        let key = |number: usize| fixtures::keys(number).public_key();
        let lists = Lists {
            allowed_pubkeys: [key(0), key(1)].into(),
            blocked_pubkeys: [key(1)].into(),
            ..Lists::default()
        };
        assert!(lists.restricts_writes());
        assert_eq!(refusal(&lists, 0, 1), "");
        assert!(refusal(&lists, 1, 1).starts_with("blocked: this author is banned"));
        assert!(refusal(&lists, 2, 1).starts_with("auth-required: only public keys"));
        let event = fixtures::signed_by(&fixtures::keys(2), 1_059, 1, &[], "");
        let brought_by = |number: usize| lists.admit_writer(&event, &[key(number)].into());
        assert!(brought_by(0).is_ok() && brought_by(2).unwrap_err().to_string().starts_with("restricted: "));
        assert!(
            brought_by(1).unwrap_err().to_string().starts_with("restricted: "),
            "the banned let nobody in"
        );
        assert!(!lists.takes_kind(Kind(10_002)));
    }

    #[test]
    fn kinds_and_single_events_are_kept_out() {
        let allowed = Lists { allowed_kinds: [Kind(1), Kind(7)].into(), ..Lists::default() };
        assert_eq!((refusal(&allowed, 0, 1), allowed.restricts_writes()), (String::new(), true));
        assert_eq!(refusal(&allowed, 0, 4), "blocked: events of kind 4 are not accepted here");
        let blocked = Lists { blocked_kinds: [Kind(4)].into(), ..Lists::default() };
        assert!(refusal(&blocked, 0, 4).starts_with("blocked: ") && !blocked.restricts_writes());
        assert!(blocked.takes_kind(Kind(1)) && !blocked.takes_kind(Kind(4)));
        let event = fixtures::signed(1, 1, &[]);
        let banned = Lists { blocked_events: [event.id].into(), ..Lists::default() };
        assert!(banned.admit(&event).is_err() && banned.admit(&fixtures::signed(1, 2, &[])).is_ok());
    }

    #[test]
    fn a_blocked_address_is_that_of_a_whole_network() {
        let address = |text: &str| Some(text.parse().unwrap());
        let lists = Lists {
            blocked_addresses: ["2001:db8::1", "192.0.2.1"]
                .map(|text| Network::of(text.parse().unwrap()))
                .into(),
            ..Lists::default()
        };
        assert!(lists.blocks(address("2001:db8::ffff")) && lists.blocks(address("192.0.2.1")));
        assert!(!lists.blocks(address("192.0.2.2")) && !lists.blocks(None));
    }
}
