//! Meeting an agent from outside: the tools that the scenarios and the measurements share.
//!
//! Nothing here knows the SDK's crates. A [`server`] is a process with an address, a [`wire`] client
//! speaks raw frames to it, and every event that comes back is checked by the `nostr` crate, which
//! shares no code with the one under test.

pub mod events;
pub mod http;
pub mod jobs;
mod process;
pub mod raw;
pub mod server;
pub mod wire;
