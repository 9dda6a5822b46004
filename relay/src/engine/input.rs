//! The inputs of the relay engine.

use openagents_host::sql::SqlError;
use openagents_host::{EventId, VerifiedEvent};

use super::client_read::{ClientRead, ReconciliationRead};
use crate::admission::AdmittedMessage;
use crate::management::SignedCall;
use crate::session::{ConnectionId, Origin, Ticket};
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::ClientMessage;

/// Something that happened to a relay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A connection was opened.
    Open {
        /// The new connection.
        connection: ConnectionId,
        /// Its address and challenge.
        origin: Origin,
    },
    /// A message arrived and was checked by the [gate](crate::admission::gate).
    Message {
        /// The connection on which it arrived.
        connection: ConnectionId,
        /// The message, or the refusal of one that did not pass.
        message: AdmittedMessage,
    },
    /// A connection has ended.
    Close(ConnectionId),
    /// It is the turn of a connection whose read is [to be continued](super::Effect::Continue).
    Continue(ConnectionId),
    /// An event is published from inside the process. Limits for clients do not apply.
    Publish {
        /// The ticket of the [outcome](super::Effect::Published).
        ticket: Ticket,
        /// The event.
        event: VerifiedEvent,
    },
    /// A query for stored events from inside the process.
    Query {
        /// The ticket of the [events](super::Effect::Found).
        ticket: Ticket,
        /// An event must match one of these filters.
        filters: Vec<Filter>,
    },
    /// A [read](super::Effect::Read) failed.
    ReadFailed {
        /// The read that failed.
        read: ClientRead,
        /// Why it failed.
        error: SqlError,
    },
    /// A [read](super::Effect::Read) has answered a step of a reconciliation.
    Reconciled(ReconciliationRead),
    /// A management call (NIP-86) of an operator whom the host has authenticated.
    Manage {
        /// The ticket of the [reply](super::Effect::Managed).
        ticket: Ticket,
        /// The call, and the token that authorizes it. A token can authorize only one change.
        call: SignedCall,
    },
    /// The agent has confirmed an event that was [handed over](super::Effect::HandOver).
    Delivered(EventId),
}

impl Input {
    /// The connection on which a message arrived, or for which it is continued.
    #[must_use]
    pub const fn sender(&self) -> Option<ConnectionId> {
        match self {
            Self::Message { connection, .. } | Self::Continue(connection) => Some(*connection),
            _ => None,
        }
    }

    /// Whether it is a message that only requests an answer: nobody needs it once the client has left.
    #[must_use]
    pub fn only_requests(&self) -> bool {
        const fn requests<E>(message: &ClientMessage<E>) -> bool {
            matches!(
                message,
                ClientMessage::Request { .. } | ClientMessage::Count { .. } | ClientMessage::Reconcile { .. }
            )
        }
        match self {
            Self::Message { message: AdmittedMessage::Verified(message), .. } => requests(&**message),
            Self::Message { message: AdmittedMessage::Unverified { message, .. }, .. } => {
                requests(&**message)
            }
            Self::Continue(_) => true,
            _ => false,
        }
    }
}
