//! `Wallet`: makes the invoices that an agent is paid by.

use std::time::Duration;

use async_trait::async_trait;
use openagents_host::Timestamp;

use crate::price::Price;
use crate::send::Shareable;

/// A wallet that can ask for money and see whether it came.
///
/// A job that costs something is worked on only when its invoice is paid; an agent without a wallet refuses it.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait Wallet: Shareable {
    /// Makes an invoice.
    ///
    /// # Errors
    /// When the wallet cannot be reached or refuses.
    async fn invoice(&self, request: &InvoiceRequest) -> Result<Invoice, WalletError>;

    /// Whether an invoice of this wallet is paid.
    ///
    /// # Errors
    /// When the wallet cannot be reached or does not know the invoice.
    async fn settlement(&self, invoice: &Invoice) -> Result<Settlement, WalletError>;
}

/// What an invoice is to be for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvoiceRequest {
    /// How much.
    pub price: Price,
    /// What for, for people.
    pub memo: String,
    /// How long it can be paid.
    pub expiry: Duration,
}

/// A Lightning invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// The invoice itself (BOLT 11).
    pub bolt11: String,
    /// The hash by which the wallet knows the payment, in hex.
    pub payment_hash: String,
    /// Until when it can be paid.
    pub expires_at: Timestamp,
}

/// How an invoice stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is not paid yet.
    Pending,
    /// The money is there.
    Paid,
    /// It cannot be paid any more.
    Expired,
}

/// Why a wallet did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// It could not be asked.
    #[error("the wallet cannot be reached: {0}")]
    Unreachable(String),
    /// The agent has no wallet.
    #[error("this agent has no wallet")]
    NoWallet,
    /// It said no.
    #[error("the wallet refused: {0}")]
    Refused(String),
}
