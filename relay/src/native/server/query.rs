//! Queries from inside the process ([`RelayHandle::query`](super::RelayHandle::query)).

use std::sync::Arc;

use openagents_host::Event;
use openagents_host::native::EngineStopped;

use crate::reason::Reason;

/// Why a query from inside the process failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The relay has stopped.
    #[error(transparent)]
    EngineStopped(#[from] EngineStopped),
    /// The query exceeds a limit, or the relay's database failed.
    #[error("the relay did not answer: {0}")]
    Refused(Reason),
    /// A row does not contain an event: something else has written into the relay's database.
    #[error("the relay's database contains something that is not an event: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Parses stored events. They were verified before they were stored.
pub(super) fn read(events: &[Arc<str>]) -> Result<Vec<Event>, QueryError> {
    Ok(events.iter().map(|json| Event::from_json(json)).collect::<Result<_, _>>()?)
}
