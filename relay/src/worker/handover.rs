//! Handover of events from the relay object to the agent.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ::worker::Env;
use openagents_host::VerifiedEvent;

/// Why an event could not be delivered. It will be retried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// The agent did not answer in time.
    #[error("no answer within {after:?}")]
    Timeout {
        /// The time limit.
        after: Duration,
    },
    /// The Workers runtime failed.
    #[error("{0}")]
    Runtime(#[from] ::worker::Error),
    /// The agent could not record the event, for this reason.
    #[error("{0}")]
    NotRecorded(String),
}

/// Receives the events that [`RelayConfig::handover`](crate::RelayConfig::handover) selects.
pub trait HandoverSink: 'static {
    /// Takes an event. It must be stored durably before this returns `Ok`, because then the relay forgets the
    /// handover. The same event may be delivered more than once. An implementation should give up after some seconds:
    /// the event is retried.
    ///
    /// # Errors
    /// Why the event must be retried.
    fn deliver<'a>(
        &'a self,
        env: &'a Env,
        event: &'a VerifiedEvent,
    ) -> Pin<Box<dyn Future<Output = Result<(), HandoverError>> + 'a>>;
}
