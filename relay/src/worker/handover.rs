//! Where the object delivers events that an agent registered for.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ::worker::Env;
use openagents_host::VerifiedEvent;

/// Why an event could not be delivered. It comes again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// Whoever it is for did not answer in time.
    #[error("there was no answer within {after:?}")]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The runtime failed on the way.
    #[error("{0}")]
    Runtime(#[from] ::worker::Error),
    /// Whoever it is for could not put it on record, for this reason.
    #[error("{0}")]
    NotRecorded(String),
}

/// Receives the events that [`RelayConfig::handover`](crate::RelayConfig::handover) wants.
pub trait HandoverSink: 'static {
    /// Takes an event. It must be safe before this returns `Ok`: then the relay forgets that it was to be delivered.
    /// The same event can come more than once. It should give up after some seconds: it is tried again.
    ///
    /// # Errors
    /// Why it is to be tried again.
    fn deliver<'a>(
        &'a self,
        env: &'a Env,
        event: &'a VerifiedEvent,
    ) -> Pin<Box<dyn Future<Output = Result<(), HandoverError>> + 'a>>;
}
