//! `Price`: an amount in msat.

use std::fmt;

/// An amount of money, in thousandths of a satoshi (msat).
///
/// ```
/// use openagents_sdk::Price;
///
/// assert_eq!(Price::sat(1), Price::msat(1_000));
/// assert_eq!(Price::sat(21).to_string(), "21000 msat");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(u64);

impl Price {
    /// Nothing to pay.
    pub const FREE: Self = Self(0);

    /// So many thousandths of a satoshi.
    #[must_use]
    pub const fn msat(msat: u64) -> Self {
        Self(msat)
    }

    /// So many satoshis.
    #[must_use]
    pub const fn sat(sat: u64) -> Self {
        Self(sat.saturating_mul(1_000))
    }

    /// The amount in thousandths of a satoshi.
    #[must_use]
    pub const fn as_msat(self) -> u64 {
        self.0
    }

    /// Whether there is nothing to pay.
    #[must_use]
    pub const fn is_free(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} msat", self.0)
    }
}
