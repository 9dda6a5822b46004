//! Where the object delivers events that an agent registered for.

use std::future::Future;
use std::pin::Pin;

use ::worker::Env;
use openagents_host::VerifiedEvent;

/// Receives the events that [`RelayConfig::handover`](crate::RelayConfig::handover) wants.
pub trait HandoverSink: 'static {
    /// Takes an event. It must be safe before this returns `Ok`: then the relay forgets that it was to be delivered.
    /// The same event can come more than once. It should give up after some seconds: it is tried again.
    ///
    /// # Errors
    /// What goes to the log.
    fn deliver<'a>(
        &'a self,
        env: &'a Env,
        event: &'a VerifiedEvent,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;
}
