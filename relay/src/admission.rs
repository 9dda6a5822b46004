//! Which events and connections the relay accepts: lists, rates, proof of work, protected events, policy.
//!
//! The checks of an event come in this order, the cheap ones first. At the [gate], on its connection alone: its form and
//! the [limits](crate::Limits) (length, `created_at`, tags, proof of work), the [lists](Lists) (kind, author, id), the
//! [rates](Rates). In the engine: the lists again, which may have changed since, who has
//! [authenticated](crate::admission::access), protection, whether it is stored, and last the deployment's
//! [policy](WritePolicy). Its id and signature are verified before the policy is asked; natively already at the gate,
//! to spare the engine's thread.

pub mod access;
pub(crate) mod connections;
pub mod gate;
mod lists;
mod network;
pub mod policy;
pub(crate) mod protected;
mod rates;

use std::sync::Arc;

pub use access::Access;
pub use connections::{ConnectionLimits, ConnectionRefusal};
pub use gate::{Admitted, AdmittedMessage, Freshness};
pub use lists::{Lists, MAX_LISTED};
pub use network::Network;
pub use policy::{Submission, WritePolicy};
pub use rates::{Activity, RateLimits, Rates};

/// What a deployment decides about whom its relay serves, beside [`Limits`](crate::Limits) and
/// [`Access`].
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
