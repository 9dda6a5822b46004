//! `Wallet`: the port through which an agent creates invoices and learns whether they are paid.

use std::time::Duration;

use async_trait::async_trait;
use openagents_host::Timestamp;

use crate::price::Price;
use crate::send::Shareable;

/// A wallet that can create invoices and tell whether they are paid.
///
/// A job with a price starts when its invoice is paid. An agent without a wallet refuses such jobs.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait Wallet: Shareable {
    /// Creates an invoice.
    ///
    /// # Errors
    /// When the wallet cannot be reached or refuses.
    async fn invoice(&self, request: &InvoiceRequest) -> Result<Invoice, WalletError>;

    /// The payment state of an invoice that this wallet created.
    ///
    /// # Errors
    /// When the wallet cannot be reached or does not know the invoice.
    async fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError>;
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
}

/// The payment state of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Not paid yet.
    Pending,
    /// Paid.
    Paid,
    /// Expired unpaid.
    Expired,
}

/// The error of a wallet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The wallet did not respond. The call may be repeated.
    #[error("the wallet cannot be reached: {0}")]
    Unreachable(String),
    /// The agent has no wallet.
    #[error("this agent has no wallet")]
    NoWallet,
    /// The wallet refused. Repeating the call does not help.
    #[error("the wallet refused: {0}")]
    Refused(String),
}
