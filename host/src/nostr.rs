//! The Nostr protocol as used by clients and relays: no waiting, no storage, no permissions.
//!
//! * [`bytes`], [`kind`], [`event`]: the event (NIP-01), and [`VerifiedEvent`], the proof that its id and signature
//!   are valid.
//! * [`schnorr`] and [`keys`]: BIP-340 signatures, and a secret key that can sign and never prints itself.
//! * [`encryption`]: texts between two keys (NIP-44, NIP-04).
//! * [`gift_wrap`]: events that only their receiver can read (NIP-59).
//! * [`http_auth`]: authentication of HTTP requests (NIP-98).
//! * [`tag`], [`search`] and [`filter`]: the conditions by which events are found, and matching in memory.
//! * [`reason`] and [`message`]: the messages between clients and relays.
//!
//! The modules depend on each other in this order: bytes, schnorr, keys, event, then the rest.

pub mod bytes;
pub mod encryption;
pub mod event;
pub mod filter;
pub mod gift_wrap;
pub mod http_auth;
pub mod keys;
pub mod kind;
pub mod message;
pub mod reason;
pub mod schnorr;
pub mod search;
pub mod tag;

#[cfg(any(test, feature = "fixtures"))]
#[doc(hidden)]
pub mod fixtures;

pub use bytes::{BlobHash, EventId, HexError, PublicKey, Signature};
pub use event::{Event, MAX_CREATED_AT, Tag, UnsignedEvent, VerifiedEvent, VerifyError};
pub use filter::Filter;
pub use gift_wrap::{Rumor, UnwrapError, WrapError};
pub use keys::Keys;
pub use kind::{Kind, KindClass};
pub use message::{ClientMessage, RelayMessage, SubscriptionId};
