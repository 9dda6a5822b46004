//! The requests of the session half to the shard half of the relay, and the replies.
//!
//! Within one object, these are arguments and results of direct calls to
//! [`ShardEngine`](super::shard_engine::ShardEngine). They do not mention connections: only the session half knows who
//! receives what.

use std::collections::BTreeSet;

use openagents_host::{PublicKey, Timestamp, VerifiedEvent};

use crate::nip77::Records;
use crate::reason::Reason;
use crate::store::{Insertion, Precheck};
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::{Completeness, Count};

/// An event to be stored and handed over, depending on its kind.
#[derive(Debug)]
pub(super) struct InsertRequest<'a> {
    pub(super) event: &'a VerifiedEvent,
    /// The precheck, if it was done before.
    pub(super) precheck: Option<&'a Precheck>,
    /// Whether this is a request to vanish addressed to this relay (NIP-62).
    pub(super) vanishes: bool,
}

/// The result of an insertion.
#[derive(Debug)]
pub(super) enum InsertReply {
    /// It is new.
    New {
        /// Whether it was stored; events of ephemeral kinds are not.
        is_stored: bool,
        /// Whether it must be handed over to the agent.
        is_handed_over: bool,
    },
    /// It was refused, for this reason.
    Refused(Insertion),
}

/// A read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRead {
    /// What to read.
    pub request: ReadRequest,
    /// The time of the request: events expired by then are left out.
    pub now: Timestamp,
    /// The keys of the reader, which determine the private events that it may see.
    pub pubkeys: BTreeSet<PublicKey>,
}

/// What to read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRequest {
    /// The events that match any of these filters, the newest first, each once.
    Events(Vec<Filter>),
    /// The number of events that match any of these filters (NIP-45).
    Count(Vec<Filter>),
    /// The times and ids of the events that match a filter (NIP-77).
    Records(Filter),
}

/// The result of a read.
#[derive(Clone, Debug)]
pub enum ReadReply {
    /// All events were passed to the callback; says whether there are more.
    Events(Completeness),
    /// The number of events.
    Count(Count),
    /// The times and ids, or the reason if there are too many.
    Records(Result<Records, Reason>),
}
