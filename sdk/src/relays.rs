//! External relays: publishing to them, polling them, and finding relay lists and outputs of other jobs on them.

mod dial;
mod filters;
mod lists;
mod outputs;
mod poll;
mod silent;

pub(crate) use dial::RelayConnection;
pub(crate) use filters::RequestFilter;
pub(crate) use lists::{customer_relays, inbox_relays};
pub(crate) use outputs::outputs;
pub(crate) use poll::poll;
pub(crate) use silent::SilentRelays;

#[cfg(test)]
pub(crate) mod tests;
