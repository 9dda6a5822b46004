//! The relay in a Durable Object.
//!
//! The object hibernates while there is nothing to do, and then loses everything but its database, its sockets and
//! their attachments. So memory only holds what can be restored: the first event after waking up opens the
//! [`Relay`](crate::Relay) and restores every connection from the state attached to its socket.

mod batching;
mod handover;
mod object;
mod rpc;
mod session;
mod sockets;

pub use handover::{HandoverError, HandoverOutcomes, HandoverSink};
pub use object::RelayHost;
pub use rpc::{AUTHENTICATED_PATH, BILLED_ROWS_PATH, manage, memory_usage, publish, query};

use crate::limits::Limits;

/// The limits of a relay in a Durable Object, which has 128 MB of memory.
#[must_use]
pub fn limits() -> Limits {
    Limits { max_reconciled_events: 100_000, max_look_ups: 100_000, ..Limits::default() }
}
