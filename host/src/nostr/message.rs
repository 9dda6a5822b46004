//! What goes over a connection (NIP-01, "Communication between clients and relays"; NIP-42, NIP-45, NIP-77).

mod client;
mod relay;
mod subscription;

pub use client::{ClientMessage, Malformed, ReconcileStep};
pub use relay::{Completeness, Count, RelayMessage};
pub use subscription::{MAX_SUBSCRIPTION_ID, SubscriptionId, SubscriptionIdError};
