//! `Wallet`: the port through which an agent creates invoices and learns whether they are paid.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::Timestamp;
use sha2::{Digest, Sha256};

use crate::price::Price;
use crate::send::Shareable;

/// A wallet that can create invoices and tell whether they are paid.
///
/// A job with a price starts when its invoice is paid. An agent without a wallet refuses such jobs.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait Wallet: Shareable {
    /// What this wallet can do.
    fn features(&self) -> WalletFeatures {
        WalletFeatures::default()
    }

    /// Creates an invoice for exactly the requested price.
    ///
    /// # Errors
    /// When the wallet cannot be reached or refuses.
    async fn invoice(&self, request: &InvoiceRequest) -> Result<Invoice, WalletError>;

    /// The payment state of an invoice that this wallet created.
    ///
    /// # Errors
    /// When the wallet cannot be reached or does not know the invoice.
    async fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError>;

    /// Takes the payment of a [held](Settlement::Held) invoice. It may be repeated.
    ///
    /// # Errors
    /// When the wallet cannot be reached, has no hold invoices, or the payment has been returned to the payer.
    async fn settle(&self, invoice: &Invoice, preimage: &Preimage) -> Result<(), WalletError> {
        let _ = (invoice, preimage);
        Err(WalletError::Unsupported("hold invoices"))
    }

    /// Returns the payment of a [held](Settlement::Held) invoice to its payer, or ends the invoice if it is not paid.
    /// It may be repeated.
    ///
    /// # Errors
    /// When the wallet cannot be reached, has no hold invoices, or the payment has been taken.
    async fn cancel(&self, invoice: &Invoice) -> Result<(), WalletError> {
        let _ = invoice;
        Err(WalletError::Unsupported("hold invoices"))
    }
}

/// What a [`Wallet`] can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalletFeatures {
    /// The name of the provider, for the ledger and for messages: `lnbits`.
    pub provider: &'static str,
    /// The smallest amount of which every invoice is a multiple. Prices are rounded up to it.
    pub unit: Price,
    /// Whether it has hold invoices: payments that are first held, and then taken or returned.
    pub hold_invoices: bool,
}

impl WalletFeatures {
    /// A wallet that counts in millisatoshis and has no hold invoices.
    #[must_use]
    pub const fn new(provider: &'static str) -> Self {
        Self { provider, unit: Price::msat(1), hold_invoices: false }
    }

    /// A wallet that counts in satoshis.
    #[must_use]
    pub const fn in_satoshis(self) -> Self {
        Self { unit: Price::sat(1), ..self }
    }

    /// A wallet with hold invoices.
    #[must_use]
    pub const fn with_hold_invoices(self) -> Self {
        Self { hold_invoices: true, ..self }
    }
}

impl Default for WalletFeatures {
    fn default() -> Self {
        Self::new("wallet")
    }
}

/// The invoice to create.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvoiceRequest {
    /// The amount.
    pub price: Price,
    /// The description that the payer sees.
    pub memo: String,
    /// How long the invoice can be paid.
    pub expiry: Duration,
    /// For a hold invoice: the secret that takes the payment. The invoice has its
    /// [payment hash](Preimage::payment_hash).
    pub hold: Option<Preimage>,
}

/// A Lightning invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// The encoded invoice (BOLT 11).
    pub bolt11: String,
    /// The payment hash, in hex, by which the wallet finds the invoice.
    pub payment_hash: String,
    /// When the invoice expires.
    pub expires_at: Timestamp,
    /// Where the wallet's server tells whether it is paid, if that is a URL of its own (LUD-21).
    pub verify_url: Option<String>,
}

/// The payment state of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// Not paid yet.
    Pending,
    /// The payment has arrived and is held: it can be taken or returned.
    Held,
    /// Paid.
    Paid,
    /// Not paid, and it cannot be paid any more: it has expired, or the payment was returned.
    Expired,
}

/// The secret whose SHA-256 is an invoice's payment hash. Whoever shows it to the network takes the payment.
#[derive(Clone, PartialEq, Eq)]
pub struct Preimage([u8; 32]);

impl Preimage {
    /// A preimage of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hex characters.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let decoded = base16ct::mixed::decode(hex, &mut bytes).ok()?;
        (decoded.len() == 32).then_some(Self(bytes))
    }

    /// The SHA-256 of the preimage, in hex.
    #[must_use]
    pub fn payment_hash(&self) -> String {
        base16ct::lower::encode_string(&Sha256::digest(self.0))
    }

    /// The preimage in hex, for the wallet.
    #[must_use]
    pub fn expose_hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage(…)")
    }
}

/// The error of a wallet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The wallet did not respond, or not in a way that tells the outcome. The call may be repeated.
    #[error("the wallet cannot be reached: {0}")]
    Unreachable(String),
    /// The agent has no wallet.
    #[error("this agent has no wallet")]
    NoWallet,
    /// The wallet refused. Repeating the call does not help.
    #[error("the wallet refused: {0}")]
    Refused(String),
    /// This kind of wallet can never do it.
    #[error("this wallet has no {0}")]
    Unsupported(&'static str),
}
