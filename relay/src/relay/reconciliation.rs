//! Finding out which events a client and this relay lack (NIP-77).

use std::cmp::Reverse;

use openagents_host::Timestamp;
use openagents_host::sql::Sql;

use super::{ConnectionId, Effect, Relay};
use crate::filter::Filter;
use crate::message::{ReconcileStep, RelayMessage, SubscriptionId};
use crate::reason::{Prefix, Reason};
use crate::reconciliation::{Records, answer};

impl<S: Sql> Relay<S> {
    /// Answers a step of a reconciliation. After a refusal it is closed.
    pub(super) fn reconcile(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        step: &ReconcileStep,
        effects: &mut Vec<Effect>,
    ) {
        let answered = match step {
            ReconcileStep::Open { filter, message } => {
                let opened = self.open_reconciliation(connection, subscription, filter);
                effects.push(Effect::SessionChanged(connection));
                opened.and_then(|()| self.answer(now, connection, subscription, message, effects))
            }
            ReconcileStep::Continue(message) => self.answer(now, connection, subscription, message, effects),
            ReconcileStep::Close => {
                self.close_reconciliation(connection, subscription, effects);
                return;
            }
        };
        let subscription = subscription.clone();
        let message = match answered {
            Ok(message) => {
                let message = base16ct::lower::encode_string(&message);
                RelayMessage::Reconcile { subscription, message }
            }
            Err(reason) => {
                self.close_reconciliation(connection, &subscription, effects);
                self.challenge_for(connection, &reason, effects);
                RelayMessage::ReconcileRefused { subscription, reason }
            }
        };
        effects.push(Effect::Send { connection, message });
    }

    fn open_reconciliation(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filter: &Filter,
    ) -> Result<(), Reason> {
        // One that cannot be opened closes the earlier one of its name, too.
        self.reconciliations.close(connection, subscription);
        self.may_read(connection, std::slice::from_ref(filter))?;
        if filter.search.is_some() {
            return Err(Reason::unsupported("a reconciliation cannot be about what a search finds"));
        }
        self.reconciliations.open(connection, subscription, filter, &self.config.limits)
    }

    fn close_reconciliation(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        effects: &mut Vec<Effect>,
    ) {
        if self.reconciliations.close(connection, subscription) {
            effects.push(Effect::SessionChanged(connection));
        }
    }

    fn answer(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        message: &[u8],
        effects: &mut Vec<Effect>,
    ) -> Result<Vec<u8>, Reason> {
        if self.reconciliations.records(now, connection, subscription).is_none() {
            let filter = self.reconciliations.filter(connection, subscription).cloned();
            let Some(filter) = filter else {
                return Err(Reason::new(Prefix::Closed, "no reconciliation of this name is open"));
            };
            let records = self.records(now, connection, &filter, effects)?;
            let at_most = self.config.limits.max_reconciled_events;
            self.reconciliations.keep(now, connection, subscription, records, at_most);
        }
        let Some(records) = self.reconciliations.records(now, connection, subscription) else {
            return Err(Reason::storage());
        };
        answer(records, message).map_err(|error| Reason::invalid(error.to_string()))
    }

    /// What a filter brings, for whoever is on this connection. Of a filter with a `limit` it is the newest, as in a `REQ`.
    fn records(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        filter: &Filter,
        effects: &mut Vec<Effect>,
    ) -> Result<Records, Reason> {
        let viewer = self.viewer(connection);
        let limit = self.config.limits.max_reconciled_events;
        let mut found = Vec::new();
        let read =
            self.store.each_match(now, filter, &viewer, limit.saturating_add(1), &mut |id, _, created_at| {
                found.push((created_at, *id));
            });
        if let Err(error) = read {
            effects.push(Effect::Failed(error));
            return Err(Reason::storage());
        }
        if u64::try_from(found.len()).is_ok_and(|found| found > limit) {
            let text = format!("this query is too big: a reconciliation can be about {limit} events here");
            return Err(Reason::new(Prefix::Blocked, text));
        }
        if let Some(limit) = filter.limit.and_then(|limit| usize::try_from(limit).ok()) {
            found.sort_unstable_by_key(|(created_at, id)| (Reverse(*created_at), *id));
            found.truncate(limit);
        }
        Ok(found.into_iter().collect())
    }
}
