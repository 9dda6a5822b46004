//! Queries from inside the process.

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
    /// It asks for more than the relay answers, or the relay's database failed.
    #[error("the relay did not answer: {0}")]
    Refused(Reason),
    /// What is stored is no event: somebody else has written into the relay's database.
    #[error("the relay's database holds something that is no event: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Reads stored events. They were verified before they were stored.
pub(super) fn read(events: &[Arc<str>]) -> Result<Vec<Event>, QueryError> {
    Ok(events.iter().map(|json| Event::from_json(json)).collect::<Result<_, _>>()?)
}
