//! Payments: the [`Wallet`] through which an agent is paid, the amount of a Lightning invoice, and the limit on what
//! a client pays.
//!
//! The operator chooses the wallet with the variable `WALLET`; without one, jobs with a price are refused. A test uses a
//! `testing::TestWallet`. A customer pays through a [`Payer`](crate::client::Payer).

pub(crate) mod bolt11;
mod checked_invoice;
pub(crate) mod guard;
mod lnbits;
#[cfg(feature = "wallet-lnurl")]
mod lnurl;
#[cfg(feature = "wallet-nwc")]
mod nwc;
pub(crate) mod wallet;

pub use bolt11::{BitcoinNetwork, Bolt11, Bolt11Error, InvoiceDescription};
pub use lnbits::LnbitsWallet;
#[cfg(feature = "wallet-lnurl")]
pub use lnurl::{LightningAddressError, LnurlWallet};
#[cfg(feature = "wallet-nwc")]
pub use nwc::{NwcUri, NwcUriError, NwcWallet};
pub use wallet::{Invoice, InvoiceRequest, Preimage, Settlement, Wallet, WalletError, WalletFeatures};
