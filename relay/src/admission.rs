//! Which events and connections the relay accepts: lists, rates, proof of work, protected events, policy.
//!
//! The checks of an event come in this order, the cheap ones first: its form and the [limits](crate::Limits) (length,
//! `created_at`, tags, proof of work), the [lists](Lists) (kind, author, id), who has
//! [identified](crate::admission::access) themselves, protection, whether it is stored, the [rates](Rates), its id and
//! signature, and last the deployment's [policy](WritePolicy). A native connection, which verifies beside the database,
//! takes the rates before all that needs the relay's thread, so that a flood is not verified.

pub mod access;
pub(crate) mod connections;
mod lists;
mod network;
pub mod policy;
pub(crate) mod pow;
pub(crate) mod protected;
mod rates;

use std::sync::Arc;

pub use access::Access;
pub use connections::{ConnectionLimits, ConnectionRefusal};
pub use lists::{Lists, MAX_LISTED};
pub use network::Network;
pub use policy::{Submission, WritePolicy};
pub use rates::{Activity, RateLimits, Rates};

/// What a deployment decides about whom its relay serves, beside [`Limits`](crate::Limits) and
/// [`Access`](crate::Access).
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The configured allow and block lists. What operators add while the relay runs ([`management`](crate::management))
    /// comes on top.
    pub lists: Lists,
    /// The rate limits of a client.
    pub rates: RateLimits,
    /// The limits on connections.
    pub connections: ConnectionLimits,
    /// The deployment's own rules for events.
    pub policy: Option<Arc<dyn WritePolicy>>,
}
