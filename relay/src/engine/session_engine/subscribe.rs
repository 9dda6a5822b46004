//! `REQ`, `CLOSE` and `COUNT`: permission to read, and subscriptions.

use std::collections::BTreeSet;

use openagents_host::sql::SqlError;
use openagents_host::{PublicKey, Timestamp};

use super::SessionEngine;
use crate::engine::shard_api::{ReadRequest, StoreRead};
use crate::engine::{ClientRead, Effect};
use crate::reason::Reason;
use crate::session::{ClientSession, ConnectionId};
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

impl SessionEngine {
    /// Subscribes. The returned read must be executed before anything else is stored, so that no event is missed or
    /// sent twice.
    pub(in crate::engine) fn subscribe(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) -> Option<ClientRead> {
        let subscribed = self.may_read(connection, filters).and_then(|()| {
            self.subscriptions.subscribe(connection, subscription, filters, &self.config.limits)
        });
        match subscribed {
            Ok(()) => {
                let request = ReadRequest::Events(filters.to_vec());
                Some(self.client_read(now, connection, subscription, request, None))
            }
            Err(reason) => {
                // Otherwise an existing subscription with this id would continue although the client considers it
                // closed.
                self.unsubscribe(connection, subscription, effects);
                self.refuse_read(connection, subscription, reason, effects);
                None
            }
        }
    }

    /// Ends a subscription.
    pub(in crate::engine) fn unsubscribe(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        effects: &mut Vec<Effect>,
    ) {
        if self.subscriptions.unsubscribe(connection, subscription) {
            effects.push(Effect::SessionChanged(connection));
        }
    }

    /// Returns what must be read to answer a `COUNT` (NIP-45). The `limit` is ignored, because it says how many events
    /// to send, and none are sent.
    pub(in crate::engine) fn count(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) -> Option<ClientRead> {
        match self.may_count(connection, filters) {
            Ok(()) => {
                let request = ReadRequest::Count(filters.to_vec());
                Some(self.client_read(now, connection, subscription, request, None))
            }
            Err(reason) => {
                self.refuse_read(connection, subscription, reason, effects);
                None
            }
        }
    }

    /// A read for a client.
    pub(super) fn client_read(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        request: ReadRequest,
        message: Option<Vec<u8>>,
    ) -> ClientRead {
        let session = self.sessions.get(&connection);
        let pubkeys: BTreeSet<PublicKey> =
            session.map(ClientSession::authenticated).cloned().unwrap_or_default();
        let read = StoreRead { request, now, pubkeys };
        ClientRead { connection, subscription: subscription.clone(), message, read }
    }

    /// A read failed, and the client has [been told](ClientRead::refused). Closes what was requested, unless the
    /// client has since made another request with the same id.
    pub(in crate::engine) fn read_failed(
        &mut self,
        failed: &ClientRead,
        error: &SqlError,
        effects: &mut Vec<Effect>,
    ) {
        let ClientRead { connection, subscription, read, .. } = failed;
        if *error != SqlError::Interrupted {
            effects.push(Effect::Failed(error.clone()));
        }
        match &read.request {
            ReadRequest::Events(filters)
                if self.subscriptions.has_filters(*connection, subscription, filters) =>
            {
                self.unsubscribe(*connection, subscription, effects);
            }
            ReadRequest::Records(filter)
                if self.reconciliations.filter(*connection, subscription) == Some(filter) =>
            {
                self.close_reconciliation(*connection, subscription, effects);
            }
            _ => {}
        }
    }

    pub(super) fn may_read(&self, connection: ConnectionId, filters: &[Filter]) -> Result<(), Reason> {
        match self.sessions.get(&connection) {
            Some(session) => self.config.access.may_read(session, filters),
            None => Err(crate::reason::storage_failed()),
        }
    }

    fn may_count(&self, connection: ConnectionId, filters: &[Filter]) -> Result<(), Reason> {
        self.may_read(connection, filters)?;
        if filters.iter().any(|filter| filter.search.is_some()) {
            return Err(Reason::unsupported("this relay does not count search results"));
        }
        Ok(())
    }

    fn refuse_read(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        reason: Reason,
        effects: &mut Vec<Effect>,
    ) {
        self.challenge_for(connection, &reason, effects);
        let message = RelayMessage::Closed { subscription: subscription.clone(), reason };
        effects.push(Effect::Send { connection, message });
    }
}
