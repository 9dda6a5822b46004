//! A Nostr relay: NIP-01 and NIP-11 as an engine without I/O, and the shells that run it.
//!
//! * [`message`]: what clients send and what a relay answers.
//! * [`filter`]: the conditions of a subscription, matched in memory and in SQL.
//! * [`check`](mod@check): everything about a message that needs no stored data: form, limits, id and signature.
//! * [`access`] and [`session`]: who has to identify themselves for what, and who has.
//! * [`admission`]: from whom, of what and how much is taken: lists, rates, proof of work, protected events, policy.
//! * [`management`]: what its operators change while it runs (NIP-86).
//! * [`store`]: events in SQL, once each, findable by every field of a filter.
//! * [`subscriptions`]: who is to be told about an event, without asking everyone.
//! * [`handover`]: which events somebody outside gets.
//! * [`reconciliation`] and [`hyperloglog`]: which events two sides lack, and how many authors there are.
//! * [`search`]: which events a text search finds.
//! * [`relay`]: the engine that puts these together.
//! * [`limits`] and [`information`]: what is enforced, and the document that says so.
//!
//! The relay knows nothing of agents: whoever wants certain events registers for them and gets each at least once
//! ([`RelayConfig::handover`]), and whoever is inside can publish and query without a connection.
//!
//! Two shells carry the engine's effects out: `native` (WebSockets on hyper, one thread that owns
//! the database) and `worker` (a Durable Object that may hibernate between any two messages).

pub mod access;
pub mod admission;
pub mod check;
pub mod handover;
pub mod hyperloglog;
pub mod information;
pub mod limits;
pub mod management;
pub mod reason;
pub mod reconciliation;
pub mod relay;
pub mod retention;
pub mod session;
pub mod store;
pub mod subscriptions;

#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod worker;

pub use openagents_host::nostr::{filter, message, search, tag};

pub use access::Access;
pub use admission::{Admission, Submission, WritePolicy};
pub use check::{Checked, check};
pub use filter::Filter;
pub use handover::HandOverRule;
pub use information::RelayInformation;
pub use limits::Limits;
pub use message::{ClientMessage, RelayMessage, SubscriptionId};
pub use reason::{Outcome, Prefix, Reason};
pub use relay::{ConnectionId, Effect, Input, Inquiry, Reading, Reconciled, Relay, RelayConfig, Ticket};
pub use retention::RetentionRules;
pub use session::{ClientSession, Origin};

#[cfg(test)]
mod fixtures;
