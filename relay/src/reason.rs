//! Refusals because of a failure of the relay's storage.

use openagents_host::SqlError;
pub use openagents_host::nostr::reason::{Outcome, Prefix, Reason};

/// The refusal of a read that took too long or failed.
pub(crate) fn read_failed(error: &SqlError) -> Reason {
    match error {
        SqlError::Interrupted => Reason::new(
            Prefix::Error,
            "this query takes too long; use fewer values, more selective conditions or a shorter time range",
        ),
        _ => storage_failed(),
    }
}

/// The refusal because of a database failure. Its error message is only for the operator's log.
pub(crate) fn storage_failed() -> Reason {
    Reason::new(Prefix::Error, "the relay could not reach its storage; try again")
}
