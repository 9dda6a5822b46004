//! `NEG-OPEN`, `NEG-MSG` and `NEG-CLOSE`: reconciliation with a client (NIP-77).

use std::sync::Arc;

use openagents_host::Timestamp;

use super::SessionEngine;
use crate::engine::Effect;
use crate::engine::client_read::{ClientRead, ReconciliationRead, reply};
use crate::engine::shard_api::ReadRequest;
use crate::reason::{Prefix, Reason};
use crate::session::ConnectionId;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::{ReconcileStep, RelayMessage, SubscriptionId};

/// How many records are compared in the time that a look-up takes.
const RECORDS_PER_LOOK_UP: u64 = 16;

impl SessionEngine {
    /// Answers a step of a reconciliation, or returns what must be read for the answer. A refusal closes the
    /// reconciliation.
    pub(in crate::engine) fn reconcile(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        step: &ReconcileStep,
        effects: &mut Vec<Effect>,
    ) -> Option<ClientRead> {
        let taken = match step {
            ReconcileStep::Open { filter, message } => {
                let opened = self.open_reconciliation(connection, subscription, filter);
                effects.push(Effect::SessionChanged(connection));
                opened.map(|()| message)
            }
            ReconcileStep::Continue(message) => Ok(message),
            ReconcileStep::Close => {
                self.close_reconciliation(connection, subscription, effects);
                return None;
            }
        };
        let taken =
            taken.and_then(|message| self.continue_open(now, connection, subscription, message, effects));
        taken.unwrap_or_else(|reason| {
            self.close_reconciliation(connection, subscription, effects);
            self.challenge_for(connection, &reason, effects);
            let message = RelayMessage::ReconcileRefused { subscription: subscription.clone(), reason };
            effects.push(Effect::Send { connection, message });
            None
        })
    }

    fn open_reconciliation(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filter: &Filter,
    ) -> Result<(), Reason> {
        // If it cannot be opened, an earlier one with the same id is closed as well.
        self.reconciliations.close(connection, subscription);
        self.may_read(connection, std::slice::from_ref(filter))?;
        if filter.search.is_some() {
            return Err(Reason::unsupported("a reconciliation cannot use a search"));
        }
        self.reconciliations.open(connection, subscription, filter, &self.config.limits)
    }

    pub(in crate::engine) fn close_reconciliation(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        effects: &mut Vec<Effect>,
    ) {
        if self.reconciliations.close(connection, subscription) {
            effects.push(Effect::SessionChanged(connection));
        }
    }

    /// Answers from records in memory, or returns the read that is needed.
    fn continue_open(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        message: &[u8],
        effects: &mut Vec<Effect>,
    ) -> Result<Option<ClientRead>, Reason> {
        if let Some(records) = self.reconciliations.records(now, connection, subscription) {
            let look_ups = u64::try_from(records.len()).unwrap_or(u64::MAX) / RECORDS_PER_LOOK_UP;
            let message = reply(subscription, records, message);
            self.charge(now, connection, look_ups);
            let message = message?;
            effects.push(Effect::Send { connection, message });
            return Ok(None);
        }
        let Some(filter) = self.reconciliations.filter(connection, subscription).cloned() else {
            return Err(Reason::new(Prefix::Closed, "no reconciliation with this id is open"));
        };
        let (request, message) = (ReadRequest::Records(filter), Some(message.to_vec()));
        Ok(Some(self.client_read(now, connection, subscription, request, message)))
    }

    /// Keeps the records that were read for an answer, or closes the reconciliation after a refusal, if it is still
    /// open.
    pub(in crate::engine) fn reconciled(
        &mut self,
        now: Timestamp,
        reconciled: &ReconciliationRead,
        effects: &mut Vec<Effect>,
    ) {
        let ReconciliationRead { connection, subscription, filter, records } = reconciled;
        if self.reconciliations.filter(*connection, subscription) != Some(filter) {
            return;
        }
        match records {
            Some(records) => {
                let at_most = self.config.limits.max_reconciled_events;
                self.reconciliations.keep(now, *connection, subscription, Arc::clone(records), at_most);
            }
            None => self.close_reconciliation(*connection, subscription, effects),
        }
    }
}
