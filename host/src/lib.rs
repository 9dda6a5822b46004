//! The ground that relay, blob server and agents stand on.
//!
//! * [`event`]: the Nostr event, and [`VerifiedEvent`], the proof that its id and signature were checked.
//! * [`keys`]: a secret key that can sign and never prints itself.
//! * [`encryption`]: texts between two keys (NIP-44, NIP-04); [`http_auth`]: who sent an HTTP request (NIP-98).
//! * [`sql`]: the one storage port, implemented on SQLite files ([`native`]) and on a Durable Object's
//!   SQL (`worker`), with the same limits on both.
//! * [`time`] and [`engine`]: what it takes to write a component as plain synchronous code that
//!   takes the time and an input and returns what is to be done.
//! * [`http`]: HTTP messages of servers, on the types of the `http` crate, with one body type on both hosts.
//! * [`outgoing`]: how a component reaches out of its process: HTTP, WebSockets and relays, with one API on both hosts.
//!
//! Nothing in the engine-facing part is `async`, knows a runtime or reads a clock.

pub mod encryption;
pub mod engine;
pub mod event;
pub mod http;
pub mod http_auth;
pub mod keys;
pub mod outgoing;
pub mod schnorr;
pub mod sql;
pub mod time;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod worker;

pub use encryption::{DecryptError, EncryptError, Encryption};
pub use engine::Engine;
pub use event::{Event, EventId, Kind, PublicKey, UnsignedEvent, VerifiedEvent};
pub use keys::Keys;
pub use sql::{Sql, SqlError};
pub use time::Timestamp;
