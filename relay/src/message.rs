//! What goes over a connection (NIP-01, "Communication between clients and relays").

mod client;
mod relay;
mod subscription;

pub use client::{ClientMessage, Malformed};
pub use relay::RelayMessage;
pub use subscription::{MAX_SUBSCRIPTION_ID, SubscriptionId, SubscriptionIdError};
