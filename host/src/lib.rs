//! The common base of relay, blob server and agents: the Nostr protocol, and the ports that a native process and a
//! Durable Object both implement.
//!
//! * [`nostr`]: events, keys, signatures, encryption, HTTP authentication, filters and messages.
//! * [`port`]: the [`Engine`] trait (plain synchronous code that receives the time and an input and returns effects),
//!   and [`Sql`], the only storage port.
//! * [`http`]: HTTP messages for servers, with the types of the `http` crate and one body type on both hosts.
//! * [`net`]: HTTP, WebSocket and relay clients, with one API on both hosts.
//! * `native`: SQLite files, a thread for each engine, the system clock.
//! * `worker`: a Durable Object's SQL, clock and alarm.
//!
//! The modules depend on each other in this order: [`time`], [`nostr`], [`port`], [`http`], `native` and `worker`,
//! [`net`]. Nothing in the first three is `async`, depends on a runtime or reads a clock.

pub mod http;
mod json_object;
pub mod net;
pub mod nostr;
pub mod port;
pub mod time;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod worker;

#[cfg(not(target_arch = "wasm32"))]
pub use native::{now, timeout};
#[cfg(target_arch = "wasm32")]
pub use worker::{now, timeout};

pub use json_object::JsonObject;
pub use nostr::encryption::{DecryptError, EncryptError, Encryption};
pub use nostr::event::{Event, UnsignedEvent, VerifiedEvent};
pub use nostr::gift_wrap::Rumor;
pub use nostr::keys::Keys;
pub use nostr::{BlobHash, EventId, Kind, PublicKey};
pub use port::engine::Engine;
pub use port::sql::{self, Sql, SqlError};
pub use time::Timestamp;
