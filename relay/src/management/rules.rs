//! The rules in force: the configured lists with the operators' changes.

use std::net::IpAddr;

use openagents_host::{EventId, Kind, PublicKey};

use crate::admission::{Lists, Network};

/// The rules in force: the lists of the configuration and of the operators combined, and the operators' texts for the
/// relay information document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The allow and block lists.
    pub lists: Lists,
    /// The relay's name, in place of the configured one.
    pub name: Option<String>,
    /// The relay's description, in place of the configured one.
    pub description: Option<String>,
    /// The URL of the relay's icon, in place of the configured one.
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
pub struct ListEntry {
    /// The key, id, kind or address, as text.
    pub subject: String,
    /// The reason that the operator gave.
    pub reason: Option<String>,
}

/// A text of the relay information document that operators can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InformationText {
    /// The relay's name.
    Name,
    /// The relay's description.
    Description,
    /// The URL of the relay's icon.
    Icon,
}

impl InformationText {
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
    /// The rules of a configuration, without changes of operators.
    #[must_use]
    pub fn of(lists: Lists) -> Self {
        Self { lists, ..Self::default() }
    }

    /// Adds a stored entry. An entry that cannot be parsed was not written by this program and is ignored.
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

    /// Sets a stored text.
    pub(crate) fn set(&mut self, wording: InformationText, text: String) {
        match wording {
            InformationText::Name => self.name = Some(text),
            InformationText::Description => self.description = Some(text),
            InformationText::Icon => self.icon = Some(text),
        }
    }
}
