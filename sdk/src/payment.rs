//! Payments: the wallet an agent is paid through, reading Lightning invoices, and the limit on what a client pays.

pub(crate) mod bolt11;
pub(crate) mod guard;
pub(crate) mod wallet;

pub use wallet::{Invoice, InvoiceRequest, Settlement, Wallet, WalletError};
