//! The effects of the relay engine, which the host carries out.

use std::sync::Arc;

use openagents_host::VerifiedEvent;
use openagents_host::sql::SqlError;

use super::client_read::ClientRead;
use crate::management::{ManagementReply, Rules, UsedToken};
use crate::reason::{Outcome, Reason};
use crate::session::{ConnectionId, Ticket};
use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

/// What the host has to do. Effects are carried out in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Send a message. Every `EVENT` of a client is answered by exactly one `OK`, every `REQ` by exactly one
    /// `EOSE` or `CLOSED`, whatever goes wrong.
    Send {
        /// The connection to send it over.
        connection: ConnectionId,
        /// The message.
        message: RelayMessage,
    },
    /// Answer a `REQ`, a `COUNT` or a step of a reconciliation from the store: only on hosts
    /// [with reader threads](super::Relay::with_reader_threads).
    ///
    /// What the engine sends to this connection after this effect comes after the answer. The answer is read from a
    /// state that includes everything committed with this effect, and an event of the subscription that is in the
    /// answer must not be sent again when the engine broadcasts it.
    Read(ClientRead),
    /// What the engine sends to this connection next, up to the end of stored events, answers a `REQ` of this name. A
    /// host [with reader threads](super::Relay::with_reader_threads) may still be reading the answer to an earlier one.
    Answering {
        /// The connection that is answered.
        connection: ConnectionId,
        /// The subscription id of the `REQ`.
        subscription: SubscriptionId,
    },
    /// The state of a connection has changed: a host that may forget keeps what
    /// [`Relay::saved`](super::Relay::saved) returns.
    SessionChanged(ConnectionId),
    /// Deliver an event to whoever registered for it, and report when that is done
    /// ([`Input::Delivered`](super::Input::Delivered)).
    HandOver(VerifiedEvent),
    /// A publication from inside the process was decided.
    Published {
        /// The number of the publication.
        ticket: Ticket,
        /// Whether the event was accepted.
        outcome: Outcome,
    },
    /// A query from inside the process was answered.
    Found {
        /// The number of the query.
        ticket: Ticket,
        /// The events as JSON, in the order of a `REQ`'s answer and each once; or why there is no answer.
        events: Result<Vec<Arc<str>>, Reason>,
    },
    /// A management call was answered.
    Managed {
        /// The number of the call.
        ticket: Ticket,
        /// The reply; or that the token of the call was used before.
        answer: Result<ManagementReply, UsedToken>,
    },
    /// The rules were changed by an operator to these.
    RulesChanged(Arc<Rules>),
    /// Close a connection, whose client was told why.
    Disconnect(ConnectionId),
    /// The database failed: for the operator's log. Whoever waited has been answered.
    Failed(SqlError),
}
