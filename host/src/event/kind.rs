use std::fmt;

use serde::{Deserialize, Serialize};

/// What an event means: a number between 0 and 65535.
///
/// ```
/// use openagents_host::event::{Kind, Retention};
///
/// assert_eq!(Kind(5050).retention(), Retention::Regular);
/// assert_eq!(Kind(10002).retention(), Retention::Replaceable);
/// assert_eq!(Kind(31990).retention(), Retention::Addressable);
/// assert_eq!(Kind(22242).retention(), Retention::Ephemeral);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(pub u16);

/// How long a relay keeps an event of a kind (NIP-01, "Kinds").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// All are kept.
    Regular,
    /// The latest for each pubkey and kind is kept.
    Replaceable,
    /// The latest for each pubkey, kind and `d` tag is kept.
    Addressable,
    /// None is kept.
    Ephemeral,
}

impl Kind {
    /// How long a relay keeps events of this kind. Numbers that NIP-01 puts in no range are kept.
    #[must_use]
    pub const fn retention(self) -> Retention {
        match self.0 {
            0 | 3 | 10_000..=19_999 => Retention::Replaceable,
            20_000..=29_999 => Retention::Ephemeral,
            30_000..=39_999 => Retention::Addressable,
            _ => Retention::Regular,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
