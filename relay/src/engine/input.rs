//! The inputs of the relay engine.

use openagents_host::sql::SqlError;
use openagents_host::{EventId, VerifiedEvent};

use super::client_read::{ClientRead, ReconciliationRead};
use crate::admission::AdmittedMessage;
use crate::management::SignedCall;
use crate::session::{ConnectionId, Origin, Ticket};
use openagents_host::nostr::filter::Filter;

/// What happens to a relay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A connection was opened.
    Open {
        /// The new connection.
        connection: ConnectionId,
        /// Its address and its challenge.
        origin: Origin,
    },
    /// A message arrived and has been through the [gate](crate::admission::gate).
    Message {
        /// The connection that it came over.
        connection: ConnectionId,
        /// The message, or the answer to one that did not pass.
        message: AdmittedMessage,
    },
    /// A connection ended.
    Close(ConnectionId),
    /// An agent publishes an event from inside the process. The limits for clients do not apply.
    Publish {
        /// The number under which the [outcome](super::Effect::Published) is reported.
        ticket: Ticket,
        /// The event to be published.
        event: VerifiedEvent,
    },
    /// An agent asks for stored events from inside the process.
    Query {
        /// The number under which the [events](super::Effect::Found) are reported.
        ticket: Ticket,
        /// An event has to match one of these.
        filters: Vec<Filter>,
    },
    /// A [read](super::Effect::Read) failed.
    ReadFailed {
        /// The read that failed.
        read: ClientRead,
        /// Why it failed.
        error: SqlError,
    },
    /// A [read](super::Effect::Read) answered a step of a reconciliation.
    Reconciled(ReconciliationRead),
    /// An operator of the relay, authenticated by the host, manages it (NIP-86).
    Manage {
        /// The number under which the [reply](super::Effect::Managed) is reported.
        ticket: Ticket,
        /// The call, and the token that authorizes it: each token changes something once.
        call: SignedCall,
    },
    /// An event that was [handed over](super::Effect::HandOver) has arrived.
    Delivered(EventId),
}
