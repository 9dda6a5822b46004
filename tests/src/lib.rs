//! Tools for tests of an agent from outside, shared by scenarios and benchmarks.
//!
//! Nothing here uses the SDK's crates. A [`server`] is a process with an address, a [`wire`] client exchanges raw
//! frames with it, and every event that comes back is verified with the `nostr` crate, which shares no code with the
//! one under test.

pub mod backend;
pub mod blobs;
pub mod databases;
pub mod events;
pub mod http;
pub mod http_echo;
pub mod jobs;
pub mod language_model;
pub mod lnbits;
pub mod lnurl;
pub mod nwc;
mod process;
pub mod raw;
pub mod server;
pub mod wire;
