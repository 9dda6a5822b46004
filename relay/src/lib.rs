//! A Nostr relay: an engine without I/O (NIP-01, NIP-11 and others), and the two hosts that run it.
//!
//! * [`Relay`] is the engine: it takes [`Input`]s and produces [`Effect`]s. [`RelayConfig`] says what it accepts:
//!   [`Limits`], [`Access`] (NIP-42), [`Admission`] (lists, rates, [`WritePolicy`]), [`RetentionRules`], and which
//!   events are handed over to an agent ([`HandoverRule`]).
//! * [`ClientMessage`] and [`RelayMessage`] are the messages of clients and of the relay; with [`management`],
//!   operators change settings while it runs (NIP-86).
//! * [`information`] is the relay information document (NIP-11).
//! * [`nip77`] finds the events that each of two sides lacks, without sending those that both have.
//!
//! The relay knows nothing of agents: it hands over events of configured kinds, each at least once
//! ([`RelayConfig::handover`]), and code in the same process can publish and query without a connection.
//!
//! Two hosts carry out the engine's effects: `native` (WebSockets on hyper, and one thread that owns the database) and
//! `worker` (a Durable Object that may hibernate between any two messages).

pub mod admission;
#[doc(hidden)]
pub mod engine;
mod handover;
pub mod information;
mod limits;
pub mod management;
mod nip13;
mod nip45;
pub mod nip77;
mod reason;
mod retention;
mod session;
#[doc(hidden)]
pub mod store;
mod subscriptions;
mod validate;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod worker;

pub use admission::{Access, Admission, Admitted, AdmittedMessage, Submission, WritePolicy};
pub use engine::{
    ClientRead, Effect, Input, ReadReply, ReadRequest, ReconciliationRead, Relay, RelayConfig, StoreRead,
};
pub use handover::{AddressedEvents, HandoverRule};
pub use information::RelayInformation;
pub use limits::{Limits, MAX_INTERNAL_LIMIT};
pub use openagents_host::nostr::Filter;
pub use openagents_host::nostr::{ClientMessage, RelayMessage, SubscriptionId};
pub use reason::{Outcome, Prefix, Reason};
pub use retention::{RetentionError, RetentionRules};
pub use session::{ClientSession, ConnectionId, Origin, Ticket};

#[cfg(test)]
mod fixtures;
