//! The messages between clients and relays in both directions, written and parsed (NIP-01, NIP-42, NIP-45, NIP-67,
//! NIP-77).

mod client;
mod relay;
mod subscription;

pub use client::{ClientMessage, Malformed, ReconcileStep};
pub use relay::{Completeness, Count, RelayMessage};
pub use subscription::{MAX_SUBSCRIPTION_ID, SubscriptionId, SubscriptionIdError};
