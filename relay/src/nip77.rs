//! Reconciliation (NIP-77, Negentropy): finding the events that each side lacks without sending those that both have.
//!
//! The messages are those of the Negentropy protocol, version 1. A relay is the responder ([`Reconciliations`]), a
//! client the initiator ([`Reconciliation`]).

mod initiator;
mod records;
mod responder;

pub use initiator::{Difference, Reconciliation, ReconciliationError};
pub use records::Records;
pub use responder::{Reconciliations, answer};

/// The maximum length of a message that is sent, in bytes before hex encoding. The protocol splits longer ones.
pub const MAX_MESSAGE_BYTES: u64 = 60_000;

#[cfg(test)]
mod tests;
