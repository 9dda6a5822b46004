//! The manifest's `economics`: prices, and where payments go.
//!
//! OpenAgents' schema also has a field for a wallet connection (`nwc_uri`), with which anyone could spend from the
//! wallet. It is left out here, so it cannot be published by mistake.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::offer::{Cost, Offer};

/// The prices of an agent and how it is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Economics {
    /// The wallet that receives payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<ManifestWallet>,
    /// The price of a job.
    #[serde(default)]
    pub pricing: Pricing,
    /// The accepted payment methods.
    #[serde(default)]
    pub payment_methods: Vec<PaymentMethod>,
    /// Whether payment is required before a job starts.
    #[serde(default)]
    pub require_prepayment: bool,
    /// Whether the payment for a failed job is refunded.
    #[serde(default)]
    pub refund_policy: RefundPolicy,
}

/// The wallet that receives an agent's payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifestWallet {
    /// Always `lightning`.
    pub wallet_type: String,
    /// The Lightning address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lightning_address: Option<LightningAddress>,
}

/// The price of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pricing {
    /// Free.
    #[default]
    Free,
    /// A fixed price for each job.
    PerJob {
        /// The price in msat.
        millisats: u64,
    },
    /// A price that varies.
    Custom {
        /// What the price depends on.
        description: String,
    },
}

/// A way to pay an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PaymentMethod {
    /// A Lightning invoice.
    Lightning,
    /// A zap (NIP-57).
    Zap,
    /// Cashu tokens.
    Ecash,
}

/// Whether the payment for a failed job is refunded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefundPolicy {
    /// The agent keeps the payment.
    #[default]
    NoRefunds,
    /// The customer gets the payment back.
    FullRefundOnFailure,
}

/// A Lightning address: `name@domain` (LUD-16).
///
/// No other text is accepted, in particular no wallet connection, which holds a secret.
///
/// ```
/// use openagents_sdk::manifest::LightningAddress;
///
/// assert!("agent@example.com".parse::<LightningAddress>().is_ok());
/// assert!("nostr+walletconnect://b889…?secret=71a8…".parse::<LightningAddress>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LightningAddress(String);

/// The text is not a Lightning address. The error does not repeat it, since it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a Lightning address such as name@example.com (LUD-16)")]
pub struct NotALightningAddress;

impl Economics {
    pub(super) fn of(offers: &[Offer]) -> Self {
        let cost = Cost::of_all(offers);
        let free = cost == Cost::Free;
        Self {
            wallet: None,
            pricing: cost.into(),
            payment_methods: if free { vec![] } else { vec![PaymentMethod::Lightning] },
            require_prepayment: !free,
            refund_policy: RefundPolicy::NoRefunds,
        }
    }
}

impl From<Cost> for Pricing {
    fn from(cost: Cost) -> Self {
        match cost {
            Cost::Free => Self::Free,
            Cost::Fixed(price) => Self::PerJob { millisats: price.as_msat() },
            Cost::Varies => Self::Custom { description: "depends on the request".to_owned() },
        }
    }
}

impl ManifestWallet {
    pub(super) fn lightning(address: LightningAddress) -> Self {
        Self { wallet_type: "lightning".to_owned(), lightning_address: Some(address) }
    }
}

impl LightningAddress {
    /// The address as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LightningAddress {
    type Err = NotALightningAddress;

    fn from_str(text: &str) -> Result<Self, NotALightningAddress> {
        let text = text.trim();
        let (name, domain) = text.split_once('@').ok_or(NotALightningAddress)?;
        let plain = |text: &str, marks: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || marks.contains(char))
        };
        if plain(name, "-_.+") && plain(domain, "-.:") {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotALightningAddress)
        }
    }
}

impl TryFrom<String> for LightningAddress {
    type Error = NotALightningAddress;

    fn try_from(text: String) -> Result<Self, NotALightningAddress> {
        text.parse()
    }
}

impl From<LightningAddress> for String {
    fn from(address: LightningAddress) -> Self {
        address.0
    }
}

impl fmt::Display for LightningAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
