//! The reasons for which the relay's own storage fails a client.

use openagents_host::SqlError;
pub use openagents_host::nostr::reason::{Outcome, Prefix, Reason};

/// The refusal of a read that failed: it took too long, or the database failed.
pub(crate) fn read_failed(error: &SqlError) -> Reason {
    match error {
        SqlError::Interrupted => Reason::new(
            Prefix::Error,
            "finding what this asks for takes too long; name fewer or rarer things, or a shorter time",
        ),
        _ => storage_failed(),
    }
}

/// The refusal because the database failed. What it said is for the operator's log, not for the client.
pub(crate) fn storage_failed() -> Reason {
    Reason::new(Prefix::Error, "the relay could not reach its storage; try again")
}
