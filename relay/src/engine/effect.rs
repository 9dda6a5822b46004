//! The effects of the relay engine, which the host carries out.

use std::sync::Arc;

use openagents_host::VerifiedEvent;
use openagents_host::sql::SqlError;

use super::client_read::ClientRead;
use crate::management::{ManagementReply, Rules, UsedToken};
use crate::reason::{Outcome, Reason};
use crate::session::{ConnectionId, Ticket};
use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

/// What the host must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Send a message. In any case, every `EVENT` of a client is answered by exactly one `OK`, and every `REQ` by
    /// exactly one `EOSE` or `CLOSED`.
    Send {
        /// The connection to send it over.
        connection: ConnectionId,
        /// The message.
        message: RelayMessage,
    },
    /// Answer a `REQ`, a `COUNT` or a step of a reconciliation from the store. Only on hosts [with reader
    /// threads](super::Relay::with_reader_threads).
    ///
    /// Messages that the engine sends to this connection later must follow the answer. The answer must include
    /// everything that was committed with this effect, and if it contains an event that the engine also broadcasts to
    /// this subscription, that event must be sent only once.
    Read(ClientRead),
    /// Continue a `COUNT` or a reconciliation in the connection's next turn ([`Input::Continue`](super::Input::Continue)),
    /// before its other messages. Only on hosts that [begin turns](super::Relay::begin_turn).
    Continue(ConnectionId),
    /// The following messages to this connection, up to the end of stored events, answer a `REQ` with this id. A host
    /// [with reader threads](super::Relay::with_reader_threads) may still be reading the answer to an earlier one.
    Answering {
        /// The connection.
        connection: ConnectionId,
        /// The subscription id of the `REQ`.
        subscription: SubscriptionId,
    },
    /// The session of a connection has changed. A host that may hibernate saves what
    /// [`Relay::saved`](super::Relay::saved) returns.
    SessionChanged(ConnectionId),
    /// The subscriptions and reconciliations of a connection take about this much memory now. Sent when that has
    /// changed by a few KiB.
    MemoryChanged {
        /// The connection.
        connection: ConnectionId,
        /// In bytes.
        bytes: usize,
    },
    /// Hand an event over to the agent, and report its arrival ([`Input::Delivered`](super::Input::Delivered)).
    HandOver(VerifiedEvent),
    /// A publication from inside the process was accepted or refused.
    Published {
        /// The ticket of the publication.
        ticket: Ticket,
        /// Whether the event was accepted.
        outcome: Outcome,
    },
    /// A query from inside the process was answered.
    Found {
        /// The ticket of the query.
        ticket: Ticket,
        /// The events as JSON, once each and in the order of an answer to a `REQ`; or the reason for a refusal.
        events: Result<Vec<Arc<str>>, Reason>,
    },
    /// A management call was answered.
    Managed {
        /// The ticket of the call.
        ticket: Ticket,
        /// The reply, or an error if the call's token was used before.
        answer: Result<ManagementReply, UsedToken>,
    },
    /// An operator has changed the rules; these are in force now.
    RulesChanged(Arc<Rules>),
    /// Close a connection. Its client was told the reason.
    Disconnect(ConnectionId),
    /// The database failed; for the operator's log. The clients concerned have been answered.
    Failed(SqlError),
}
