//! The manifest's `economics`: prices, and where payments go.
//!
//! OpenAgents' form also has room for a wallet connection (`nwc_uri`), with which anybody could spend from the wallet.
//! There is none here, so it cannot be published by mistake.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::offer::{Cost, Offer};

/// What an agent's work costs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Economics {
    /// Where it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<ManifestWallet>,
    /// What a job costs.
    #[serde(default)]
    pub pricing: Pricing,
    /// How it can be paid.
    #[serde(default)]
    pub payment_methods: Vec<PaymentMethod>,
    /// Whether it is paid before it works.
    #[serde(default)]
    pub require_prepayment: bool,
    /// What becomes of the payment for a job that fails.
    #[serde(default)]
    pub refund_policy: RefundPolicy,
}

/// Where an agent is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifestWallet {
    /// `lightning`.
    pub wallet_type: String,
    /// Its Lightning address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lightning_address: Option<LightningAddress>,
}

/// What a job costs, in thousandths of a satoshi (msat).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pricing {
    /// Nothing.
    #[default]
    Free,
    /// The same for every job.
    PerJob {
        /// How much.
        millisats: u64,
    },
    /// It depends.
    Custom {
        /// On what.
        description: String,
    },
}

/// How an agent can be paid.
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

/// What becomes of the payment for a job that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefundPolicy {
    /// The agent keeps it.
    #[default]
    NoRefunds,
    /// The customer has it back.
    FullRefundOnFailure,
}

/// A Lightning address: `name@domain` (LUD-16).
///
/// Nothing else passes for one, least of all a wallet connection, which holds a secret.
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

/// A text that is no Lightning address. It is not repeated: it may be a secret.
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
            Cost::Varies => Self::Custom { description: "it depends on the request".to_owned() },
        }
    }
}

impl ManifestWallet {
    pub(super) fn lightning(address: LightningAddress) -> Self {
        Self { wallet_type: "lightning".to_owned(), lightning_address: Some(address) }
    }
}

impl LightningAddress {
    /// The address as text.
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
