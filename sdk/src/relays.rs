//! External relays: publishing to them, polling them, and finding relay lists and the outputs of other jobs there.

mod dial;
mod filters;
mod lists;
mod outputs;
// Natively relays are listened to all the time.
#[cfg(any(target_arch = "wasm32", test))]
mod poll;

pub(crate) use dial::RelayConnection;
pub(crate) use filters::RequestFilter;
pub(crate) use lists::customer_relays;
pub(crate) use outputs::outputs;
#[cfg(target_arch = "wasm32")]
pub(crate) use poll::poll;

#[cfg(test)]
pub(crate) mod tests;
