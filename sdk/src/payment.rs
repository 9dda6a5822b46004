//! Payments: the [`Wallet`] through which an agent is paid, the amount of a Lightning invoice, and the limit on what
//! a client pays.
//!
//! Deployments have no wallet yet: jobs with a price are refused. A test uses a `testing::TestWallet`. A customer
//! pays through a [`Payer`](crate::client::Payer).

pub(crate) mod bolt11;
pub(crate) mod guard;
pub(crate) mod wallet;

pub use bolt11::{BitcoinNetwork, Bolt11, Bolt11Error, InvoiceDescription};
pub use wallet::{Invoice, InvoiceRequest, Settlement, Wallet, WalletError};
