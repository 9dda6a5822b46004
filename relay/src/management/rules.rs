//! The rules in force: the configured lists and what operators have added to them.

use std::net::IpAddr;

use openagents_host::{EventId, Kind, PublicKey};

use crate::admission::{Lists, Network};

/// What holds at present: the lists of the configuration and those of the operators as one, and what they call the
/// relay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The allow and block lists.
    pub lists: Lists,
    /// What the relay is called, in place of its configured name.
    pub name: Option<String>,
    /// What it is for, in place of its configured description.
    pub description: Option<String>,
    /// The address of its picture, in place of the configured one.
    pub icon: Option<String>,
}

/// A list that operators can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Keys that may publish.
    AllowedPubkeys,
    /// Keys whose events are refused.
    BannedPubkeys,
    /// Reported events that are acceptable.
    AllowedEvents,
    /// Events that are refused.
    BannedEvents,
    /// Kinds that are accepted.
    AllowedKinds,
    /// Kinds that are refused.
    DisallowedKinds,
    /// Addresses that may not connect.
    BlockedAddresses,
}

impl List {
    /// All lists or texts.
    pub const ALL: [Self; 7] = [
        Self::AllowedPubkeys,
        Self::BannedPubkeys,
        Self::AllowedEvents,
        Self::BannedEvents,
        Self::AllowedKinds,
        Self::DisallowedKinds,
        Self::BlockedAddresses,
    ];

    /// The name under which it is stored.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AllowedPubkeys => "allowed pubkey",
            Self::BannedPubkeys => "banned pubkey",
            Self::AllowedEvents => "allowed event",
            Self::BannedEvents => "banned event",
            Self::AllowedKinds => "allowed kind",
            Self::DisallowedKinds => "disallowed kind",
            Self::BlockedAddresses => "blocked address",
        }
    }
}

/// An entry of a list: a key or an id in hex, a number, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key, id, kind or address, as text.
    pub subject: String,
    /// The reason that the operator gave.
    pub reason: Option<String>,
}

/// A text that operators can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// The relay's name.
    Name,
    /// Its description.
    Description,
    /// The address of its picture.
    Icon,
}

impl Wording {
    /// All lists or texts.
    pub const ALL: [Self; 3] = [Self::Name, Self::Description, Self::Icon];

    /// The name under which it is stored.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Description => "description",
            Self::Icon => "icon",
        }
    }
}

impl Rules {
    /// Those of a configuration, before operators change anything.
    #[must_use]
    pub fn of(lists: Lists) -> Self {
        Self { lists, ..Self::default() }
    }

    /// Adds an entry that was kept. What cannot be read was written by somebody else and changes nothing.
    pub(crate) fn add(&mut self, list: List, subject: &str) {
        let lists = &mut self.lists;
        let key = || PublicKey::from_hex(subject).ok();
        let kind = || subject.parse().ok().map(Kind);
        match list {
            List::AllowedPubkeys => lists.allowed_pubkeys.extend(key()),
            List::BannedPubkeys => lists.blocked_pubkeys.extend(key()),
            List::AllowedEvents => {}
            List::BannedEvents => lists.blocked_events.extend(EventId::from_hex(subject).ok()),
            List::AllowedKinds => lists.allowed_kinds.extend(kind()),
            List::DisallowedKinds => lists.blocked_kinds.extend(kind()),
            List::BlockedAddresses => {
                lists.blocked_addresses.extend(subject.parse::<IpAddr>().ok().map(Network::of));
            }
        }
    }

    /// Sets a text that was kept.
    pub(crate) fn set(&mut self, wording: Wording, text: String) {
        match wording {
            Wording::Name => self.name = Some(text),
            Wording::Description => self.description = Some(text),
            Wording::Icon => self.icon = Some(text),
        }
    }
}
