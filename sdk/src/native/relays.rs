//! External relays, natively: permanent connections for requests, and a queue and connection for each relay's
//! answers.

mod listeners;
mod queues;

pub(super) use listeners::{Listeners, Listening};
pub(super) use queues::{ExternalDelivery, PerRelayQueues};
