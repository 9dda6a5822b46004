//! The relay in a Durable Object.
//!
//! The object sleeps while nothing is said and forgets everything but its database, its sockets and what is attached to
//! them. So nothing is kept in memory that could not be read again: the first event after waking up
//! opens the [`Relay`](crate::Relay) and takes up every connection in the state that was kept with its socket.

mod batching;
mod handover;
mod object;
mod rpc;
mod session;
mod sockets;

pub use handover::{HandoverError, HandoverSink};
pub use object::RelayHost;
pub use rpc::{BILLED_ROWS_PATH, manage, publish, query};

use crate::limits::Limits;

/// The limits of a relay in an object, which has 128 MB of memory.
#[must_use]
pub fn limits() -> Limits {
    Limits { max_reconciled_events: 100_000, max_look_ups: 100_000, ..Limits::default() }
}
