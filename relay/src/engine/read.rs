//! `REQ`, `CLOSE`, `COUNT`, and queries from inside the process.

use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::store_read::{ReadRequest, StoreRead};
use super::{Effect, Relay};
use crate::filter::Filter;
use crate::limits::{Limits, MAX_ROW_BYTES};
use crate::message::{RelayMessage, SubscriptionId};
use crate::reason::Reason;
use crate::session::ConnectionId;
use crate::store::Viewer;

/// A read of more than this many thousand SQLite steps, a few tenths of a millisecond, is left to the reader threads.
const MAX_INLINE_READ_STEPS: u32 = 10;

/// So is one whose answer has more bytes than this.
const MAX_INLINE_READ_BYTES: usize = 128 * 1024;

impl<S: Sql> Relay<S> {
    /// Subscribes and answers from the store. Nothing can come between the two: no event is missed or sent twice.
    pub(super) fn request(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) {
        let subscribed = self.may_read(connection, filters).and_then(|()| {
            self.subscriptions.subscribe(connection, subscription, filters, &self.config.limits)
        });
        match subscribed {
            Ok(()) => {
                self.prepare_search(now, filters, effects);
                self.read(now, connection, subscription, ReadRequest::Request(filters.to_vec()), effects);
                effects.push(Effect::SessionChanged(connection));
            }
            Err(reason) => {
                // A subscription of this name would go on under a name that the client takes for closed.
                self.unsubscribe(connection, subscription, effects);
                self.challenge_for(connection, &reason, effects);
                let message = RelayMessage::Closed { subscription: subscription.clone(), reason };
                effects.push(Effect::Send { connection, message });
            }
        }
    }

    /// Reads an answer, or leaves that to the host where it takes long.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        request: ReadRequest,
        effects: &mut Vec<Effect>,
    ) {
        let pubkeys = self.viewer(connection).pubkeys.clone();
        let read = StoreRead { connection, subscription: subscription.clone(), request, now, pubkeys };
        let told = effects.len();
        let answered = match self.has_reader_threads {
            true => self.read_inline(&read, effects).map(|done| done.then_some(None)),
            false => {
                let mut send = |message| effects.push(Effect::Send { connection, message });
                read.answer(&self.store, &self.config, &mut send).map(Some)
            }
        };
        match answered {
            Ok(Some(None)) => {}
            Ok(Some(Some(reconciled))) => self.reconciled(now, &reconciled, effects),
            Ok(None) => {
                effects.truncate(told);
                effects.push(Effect::Read(read));
            }
            Err(error) => {
                effects.truncate(told);
                self.read_failed(&read, &error, effects);
                effects.push(Effect::Send { connection, message: read.refused(&error) });
            }
        }
    }

    /// Answers from the store if the read is short, and says whether it was. If not, part of the answer may be among
    /// the effects.
    fn read_inline(&self, read: &StoreRead, effects: &mut Vec<Effect>) -> Result<bool, SqlError> {
        // A search does most of its work where nobody counts its steps, and the others are asked for less often.
        let is_simple = matches!(&read.request, ReadRequest::Request(filters) if filters.iter().all(|filter| filter.search.is_none()));
        if self.under_load || !is_simple {
            return Ok(false);
        }
        let (connection, subscription) = (read.connection, read.subscription.clone());
        effects.push(Effect::Answering { connection, subscription });
        let mut length: usize = 0;
        let mut send = |message: RelayMessage| {
            length = length.saturating_add(message.size());
            effects.push(Effect::Send { connection, message });
        };
        let limits = &self.config.limits;
        let limits = Limits {
            // So that what is cut here is longer than what may be answered here, whatever the next event would have
            // been.
            max_answer_length: limits
                .max_answer_length
                .min(MAX_INLINE_READ_BYTES.saturating_add(MAX_ROW_BYTES)),
            ..limits.clone()
        };
        let answered = self.store.sql().limited(MAX_INLINE_READ_STEPS, || {
            read.answer_within(&self.store, &self.config.access, &limits, &mut send)
        });
        match answered {
            Ok(_) => Ok(length <= MAX_INLINE_READ_BYTES),
            Err(SqlError::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was to be [read](Effect::Read) could not be. Whoever asked was [told](StoreRead::refused). What was asked
    /// for since under the same name is not concerned.
    pub(super) fn read_failed(&mut self, read: &StoreRead, error: &SqlError, effects: &mut Vec<Effect>) {
        let StoreRead { connection, subscription, .. } = read;
        if *error != SqlError::Interrupted {
            effects.push(Effect::Failed(error.clone()));
        }
        match &read.request {
            ReadRequest::Request(filters) if self.subscriptions.is_to(*connection, subscription, filters) => {
                self.unsubscribe(*connection, subscription, effects);
            }
            ReadRequest::Reconcile { filter, .. }
                if self.reconciliations.filter(*connection, subscription) == Some(filter) =>
            {
                self.close_reconciliation(*connection, subscription, effects);
            }
            _ => {}
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        effects: &mut Vec<Effect>,
    ) {
        if self.subscriptions.unsubscribe(connection, subscription) {
            effects.push(Effect::SessionChanged(connection));
        }
    }

    /// Answers a `COUNT` (NIP-45). It counts what a `REQ` without a `limit` would bring: a `limit` says how many events
    /// are to be sent, and none are.
    pub(super) fn count(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) {
        match self.may_count(connection, filters) {
            Ok(()) => self.read(now, connection, subscription, ReadRequest::Count(filters.to_vec()), effects),
            Err(reason) => {
                self.challenge_for(connection, &reason, effects);
                let message = RelayMessage::Closed { subscription: subscription.clone(), reason };
                effects.push(Effect::Send { connection, message });
            }
        }
    }

    fn may_count(&self, connection: ConnectionId, filters: &[Filter]) -> Result<(), Reason> {
        self.may_read(connection, filters)?;
        if filters.iter().any(|filter| filter.search.is_some()) {
            return Err(Reason::unsupported("this relay does not count what a search finds"));
        }
        Ok(())
    }

    /// Who reads over a connection.
    pub(super) fn viewer(&self, connection: ConnectionId) -> Viewer<'_> {
        match self.sessions.get(&connection) {
            Some(session) => {
                Viewer { private_kinds: &self.config.access.private_kinds, pubkeys: session.authenticated() }
            }
            None => Viewer { private_kinds: &self.config.access.private_kinds, ..Viewer::everything() },
        }
    }

    pub(super) fn may_read(&self, connection: ConnectionId, filters: &[Filter]) -> Result<(), Reason> {
        match self.sessions.get(&connection) {
            Some(session) => self.config.access.may_read(session, filters),
            None => Err(crate::reason::storage_failed()),
        }
    }

    /// What a `REQ` of these filters would bring from the store, without a subscription and with the limits of those
    /// inside.
    pub(super) fn query(
        &mut self,
        now: Timestamp,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) -> Result<Vec<Arc<str>>, Reason> {
        let limits = self.limits().for_those_inside();
        if filters.len() > limits.max_filters {
            return Err(Reason::invalid(format!("a query can have at most {} filters", limits.max_filters)));
        }
        self.prepare_search(now, filters, effects);
        let mut events = Vec::new();
        match self.store.query(now, filters, &limits, &Viewer::everything(), &mut |event| events.push(event))
        {
            Ok(_) => Ok(events),
            Err(error) => {
                effects.push(Effect::Failed(error));
                Err(crate::reason::storage_failed())
            }
        }
    }
}
