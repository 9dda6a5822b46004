//! `Price`: an amount in millisatoshis.

use std::fmt;

/// The price of a job, in millisatoshis (msat, thousandths of a satoshi).
///
/// ```
/// use openagents_sdk::Price;
///
/// assert_eq!(Price::sat(1), Price::msat(1_000));
/// assert_eq!(Price::sat(21).to_string(), "21000 msat");
/// assert_eq!(Price::msat(20_001).rounded_up_to(Price::sat(1)), Price::sat(21));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(u64);

impl Price {
    /// Free: zero msat.
    pub const FREE: Self = Self(0);

    /// A price in millisatoshis.
    #[must_use]
    pub const fn msat(msat: u64) -> Self {
        Self(msat)
    }

    /// A price in satoshis.
    #[must_use]
    pub const fn sat(sat: u64) -> Self {
        Self(sat.saturating_mul(1_000))
    }

    /// The price in millisatoshis.
    #[must_use]
    pub const fn as_msat(self) -> u64 {
        self.0
    }

    /// The smallest multiple of `unit` that is not less.
    #[must_use]
    pub const fn rounded_up_to(self, unit: Self) -> Self {
        if unit.0 == 0 { self } else { Self(self.0.div_ceil(unit.0).saturating_mul(unit.0)) }
    }

    /// Whether the price is zero.
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
