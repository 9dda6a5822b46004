//! A read requested by a client, and the messages that answer it.

use std::sync::Arc;

use openagents_host::sql::SqlError;

use super::shard_api::{ReadReply, ReadRequest, StoreRead};
use crate::nip77::{self, Records};
use crate::reason::Reason;
use crate::session::ConnectionId;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

/// A read requested by a client: a `REQ`, a `COUNT` or a step of a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRead {
    /// The connection that the answer goes to.
    pub connection: ConnectionId,
    /// The subscription id of the request.
    pub subscription: SubscriptionId,
    /// For a reconciliation (NIP-77): the client's message, to be answered using the records that are read.
    pub message: Option<Vec<u8>>,
    /// What to read.
    pub read: StoreRead,
}

impl ClientRead {
    /// The message for an event that was read.
    pub(super) fn event(&self, event: Arc<str>) -> RelayMessage {
        RelayMessage::Event { subscription: self.subscription.clone(), event }
    }

    /// The messages that end the answer.
    pub(super) fn finish(
        &self,
        reply: ReadReply,
        send: &mut dyn FnMut(RelayMessage),
    ) -> Option<ReconciliationRead> {
        let subscription = self.subscription.clone();
        match reply {
            ReadReply::Events(completeness) => {
                send(RelayMessage::EndOfStoredEvents { subscription, completeness });
                None
            }
            ReadReply::Count(count) => {
                send(RelayMessage::Count { subscription, count });
                None
            }
            ReadReply::Records(records) => self.reconcile(records, send),
        }
    }

    /// Approximately how many bytes of memory it takes while it waits.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let filters = match &self.read.request {
            ReadRequest::Events(filters) | ReadRequest::Count(filters) => filters.as_slice(),
            ReadRequest::Records(filter) => std::slice::from_ref(filter),
        };
        let message = self.message.as_ref().map_or(0, Vec::len);
        filters.iter().map(Filter::memory_bytes).fold(message, usize::saturating_add)
    }

    /// The answer if the database failed or took too long.
    #[must_use]
    pub fn refused(&self, error: &SqlError) -> RelayMessage {
        let subscription = self.subscription.clone();
        let reason = crate::reason::read_failed(error);
        match self.read.request {
            ReadRequest::Events(_) | ReadRequest::Count(_) => RelayMessage::Closed { subscription, reason },
            ReadRequest::Records(_) => RelayMessage::ReconcileRefused { subscription, reason },
        }
    }

    /// Answers a step of a reconciliation using its records.
    fn reconcile(
        &self,
        records: Result<Records, Reason>,
        send: &mut dyn FnMut(RelayMessage),
    ) -> Option<ReconciliationRead> {
        let ReadRequest::Records(filter) = &self.read.request else { return None };
        let subscription = self.subscription.clone();
        let message = self.message.as_deref().unwrap_or_default();
        let answered = records.and_then(|records| Ok((reply(&subscription, &records, message)?, records)));
        let records = match answered {
            Ok((message, records)) => {
                send(message);
                Some(Arc::new(records))
            }
            Err(reason) => {
                send(RelayMessage::ReconcileRefused { subscription: subscription.clone(), reason });
                None
            }
        };
        Some(ReconciliationRead {
            connection: self.connection,
            subscription,
            filter: filter.clone(),
            records,
        })
    }
}

/// A step of a reconciliation was answered by reading its records.
#[derive(Clone, Debug)]
pub struct ReconciliationRead {
    pub(super) connection: ConnectionId,
    pub(super) subscription: SubscriptionId,
    pub(super) filter: Filter,
    /// The records, for the next step; `None` after a refusal.
    pub(super) records: Option<Arc<Records>>,
}

/// The relay's answer in a reconciliation.
pub(super) fn reply(
    subscription: &SubscriptionId,
    records: &Records,
    message: &[u8],
) -> Result<RelayMessage, Reason> {
    let message = nip77::answer(records, message).map_err(|error| Reason::invalid(error.to_string()))?;
    let message = base16ct::lower::encode_string(&message);
    Ok(RelayMessage::Reconcile { subscription: subscription.clone(), message })
}
