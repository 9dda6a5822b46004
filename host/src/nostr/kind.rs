//! Event kinds (NIP-01): the number that determines the meaning of an event, with names for those that are used here.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of an event: a number between 0 and 65535 that determines its meaning.
///
/// ```
/// use openagents_host::Kind;
/// use openagents_host::nostr::KindClass;
///
/// assert_eq!(Kind(5050).class(), KindClass::Regular);
/// assert_eq!(Kind::RELAY_LIST.class(), KindClass::Replaceable);
/// assert_eq!(Kind::HANDLER_INFORMATION.class(), KindClass::Addressable);
/// assert_eq!(Kind::AUTHENTICATION.class(), KindClass::Ephemeral);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(pub u16);

/// Which events of a kind a relay keeps (NIP-01, "Kinds").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindClass {
    /// All of them.
    Regular,
    /// The latest of each pubkey and kind.
    Replaceable,
    /// The latest of each pubkey, kind and `d` tag.
    Addressable,
    /// None.
    Ephemeral,
}

impl Kind {
    /// A profile: name, picture and the like (NIP-01).
    pub const METADATA: Self = Self(0);
    /// A short text note (NIP-10).
    pub const TEXT_NOTE: Self = Self(1);
    /// The public keys that somebody follows (NIP-02).
    pub const CONTACT_LIST: Self = Self(3);
    /// A direct message encrypted with NIP-04.
    pub const ENCRYPTED_DIRECT_MESSAGE: Self = Self(4);
    /// A request to delete events (NIP-09).
    pub const DELETION: Self = Self(5);
    /// A repost of a text note (NIP-18).
    pub const REPOST: Self = Self(6);
    /// A reaction (NIP-25).
    pub const REACTION: Self = Self(7);
    /// A sealed event: encrypted, and signed by its author (NIP-59).
    pub const SEAL: Self = Self(13);
    /// A direct message, which is only sent in a gift wrap (NIP-17).
    pub const DIRECT_MESSAGE: Self = Self(14);
    /// A repost of any other event (NIP-18).
    pub const GENERIC_REPOST: Self = Self(16);
    /// The creation of a public channel (NIP-28).
    pub const CHANNEL_CREATION: Self = Self(40);
    /// Name and description of a public channel (NIP-28).
    pub const CHANNEL_METADATA: Self = Self(41);
    /// A request to delete everything by an author (NIP-62).
    pub const VANISH: Self = Self(62);
    /// A sealed event, encrypted to its recipient and signed with a one-time key (NIP-59).
    pub const GIFT_WRAP: Self = Self(1_059);
    /// A message of a double-ratchet session, encrypted.
    pub const DOUBLE_RATCHET_MESSAGE: Self = Self(1_060);
    /// The description of a file (NIP-94).
    pub const FILE_METADATA: Self = Self(1_063);
    /// A report of an event or an author to operators (NIP-56).
    pub const REPORTING: Self = Self(1_984);
    /// Feedback on a job: its state, a price, a partial result (NIP-90).
    pub const JOB_FEEDBACK: Self = Self(7_000);
    /// A receipt of a Lightning payment (NIP-57).
    pub const ZAP_RECEIPT: Self = Self(9_735);
    /// The relays that somebody reads from and writes to (NIP-65).
    pub const RELAY_LIST: Self = Self(10_002);
    /// A heartbeat of an agent.
    pub const HEARTBEAT: Self = Self(11_998);
    /// The relays at which somebody expects direct messages (NIP-17).
    pub const DIRECT_MESSAGE_RELAYS: Self = Self(10_050);
    /// The blob servers that somebody uses (BUD-03, NIP-B7).
    pub const BLOB_SERVER_LIST: Self = Self(10_063);
    /// A [gift wrap](Self::GIFT_WRAP) that relays do not keep (NIP-59).
    pub const EPHEMERAL_GIFT_WRAP: Self = Self(21_059);
    /// The answer to a relay's challenge, with which a client authenticates (NIP-42).
    pub const AUTHENTICATION: Self = Self(22_242);
    /// The authorization of a request to a blob server (BUD-11).
    pub const BLOSSOM_AUTHORIZATION: Self = Self(24_242);
    /// The authorization of an HTTP request (NIP-98).
    pub const HTTP_AUTH: Self = Self(27_235);
    /// Data of an application (NIP-78).
    pub const APPLICATION_DATA: Self = Self(30_078);
    /// The kinds of events that an application or an agent handles (NIP-89).
    pub const HANDLER_INFORMATION: Self = Self(31_990);

    /// Which events of this kind a relay keeps. Kinds outside of the ranges of NIP-01 are regular.
    #[must_use]
    pub const fn class(self) -> KindClass {
        match self.0 {
            0 | 3 | 10_000..=19_999 => KindClass::Replaceable,
            20_000..=29_999 => KindClass::Ephemeral,
            30_000..=39_999 => KindClass::Addressable,
            _ => KindClass::Regular,
        }
    }
}

impl From<u16> for Kind {
    fn from(kind: u16) -> Self {
        Self(kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
