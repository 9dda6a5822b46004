//! External relays, natively: standing connections for requests, and a queue and connection each for answers.

mod listeners;
mod queues;

pub(super) use listeners::{Listeners, Listening};
pub(super) use queues::{ExternalDelivery, PerRelayQueues};
