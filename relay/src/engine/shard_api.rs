//! What the session half of the relay asks of the shard half, and the replies.
//!
//! Within one object these are arguments and results of direct calls to
//! [`ShardEngine`](super::shard_engine::ShardEngine). No connection is named here: what is told to whom is for the
//! session half to know.

use std::collections::BTreeSet;

use openagents_host::{PublicKey, Timestamp, VerifiedEvent};

use crate::nip77::Records;
use crate::reason::{Outcome, Reason};
use crate::store::Precheck;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::{Completeness, Count};

/// What the shard says of an event before its signature is verified.
#[derive(Debug)]
pub(super) enum PrecheckReply {
    /// It can be inserted with this precheck; its kind is not stored if there is none.
    Insertable(Option<Precheck>),
    /// It would not be stored.
    Refused(Outcome),
}

/// An event to be stored and handed over, as its kind wants.
#[derive(Debug)]
pub(super) struct InsertRequest<'a> {
    pub(super) event: &'a VerifiedEvent,
    /// The precheck, unless the shard is to do it.
    pub(super) precheck: Option<&'a Precheck>,
    /// Whether this is a request to vanish that is meant for this relay (NIP-62).
    pub(super) vanishes: bool,
}

/// What became of an event.
#[derive(Debug)]
pub(super) enum InsertReply {
    /// It is new.
    New {
        /// Whether it is stored: those of ephemeral kinds are not.
        is_stored: bool,
        /// Whether it is to be handed over to an agent.
        is_handed_over: bool,
    },
    /// It was not stored.
    Refused(Outcome),
}

/// A read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRead {
    /// What to read.
    pub request: ReadRequest,
    /// The time of the request: events expired by then are left out.
    pub now: Timestamp,
    /// The keys of the reader: events of private kinds are found only by their parties.
    pub pubkeys: BTreeSet<PublicKey>,
}

/// What to read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadRequest {
    /// The events that match any of these filters, newest first, each once.
    Events(Vec<Filter>),
    /// How many events match any of these (NIP-45).
    Count(Vec<Filter>),
    /// The times and ids of the events of a filter (NIP-77).
    Records(Filter),
}

/// What a read found.
#[derive(Clone, Debug)]
pub enum ReadReply {
    /// All events were told; whether they are all there are.
    Events(Completeness),
    /// How many there are.
    Count(Count),
    /// The times and ids; or why they are too many.
    Records(Result<Records, Reason>),
}
