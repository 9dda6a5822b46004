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

/// The outcome of the handover of each event in a call, or why the call failed.
pub type HandoverOutcomes = Result<Vec<Result<(), HandoverError>>, HandoverError>;

/// Receives the events that [`RelayConfig::handover`](crate::RelayConfig::handover) selects.
pub trait HandoverSink: 'static {
    /// Takes events, [as many as fit into a call](openagents_host::port::call_batch), in the order in which they were
    /// stored. Returns one outcome for each. An event must be stored durably before its outcome is `Ok`, because then the
    /// relay forgets the handover. The same event may be delivered more than once. An implementation should give up
    /// after some seconds: the events are retried.
    ///
    /// # Errors
    /// Why all events must be retried.
    fn deliver<'a>(
        &'a self,
        env: &'a Env,
        events: &'a [VerifiedEvent],
    ) -> Pin<Box<dyn Future<Output = HandoverOutcomes> + 'a>>;
}
