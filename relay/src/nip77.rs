//! Reconciliation (NIP-77, Negentropy): which events two sides lack, without sending those that both have.
//!
//! The messages are those of the Negentropy protocol, version 1. A relay answers ([`Reconciliations`]); whoever wants
//! to be in step with a relay asks ([`Reconciliation`]).

mod initiator;
mod records;
mod responder;

pub use initiator::{Difference, Reconciliation, ReconciliationError};
pub use records::Records;
pub use responder::{Reconciliations, answer};

/// The longest message that is sent, in bytes before they become hex. The protocol spreads what does not fit over more
/// messages.
pub const MAX_MESSAGE_BYTES: u64 = 60_000;

#[cfg(test)]
mod tests;
