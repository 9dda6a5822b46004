//! Which events and connections the relay accepts: lists, rates, proof of work, protected events, policy.
//!
//! An event passes these checks, from cheap to expensive. At the [gate], with nothing but the connection: form and
//! [limits](crate::Limits) (length, `created_at`, tags, proof of work), the [lists](Lists) (kind, author, id), the
//! [rates](Rates). In the engine: the lists again, because they may have changed,
//! [authentication](crate::admission::access), protection, whether it can be stored, and last the deployment's
//! [policy](WritePolicy). Its id and signature are verified before the policy is called; natively even at the gate, to
//! spare the engine thread.

pub mod access;
pub(crate) mod connections;
pub(crate) mod forgeries;
pub mod gate;
mod lists;
pub(crate) mod memory;
mod network;
pub mod policy;
pub(crate) mod protected;
mod rates;

use std::sync::Arc;

pub use access::Access;
pub use connections::{ConnectionLimits, ConnectionRefusal, OpenConnections};
pub use gate::{Admitted, AdmittedMessage, Freshness};
pub use lists::{Lists, MAX_LISTED};
pub use memory::ClientMemoryUsage;
pub use network::Network;
pub(crate) use network::WorkOwner;
pub use policy::{Submission, WritePolicy};
pub use rates::{Activity, RateLimits, Rates};

/// What a deployment decides about admission, in addition to [`Limits`](crate::Limits) and [`Access`].
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The configured allow and block lists. Operators can add entries while the relay runs
    /// ([`management`](crate::management)).
    pub lists: Lists,
    /// The rate limits for clients.
    pub rates: RateLimits,
    /// The limits on the number of connections.
    pub connections: ConnectionLimits,
    /// The deployment's own code that accepts or refuses events.
    pub policy: Option<Arc<dyn WritePolicy>>,
}
