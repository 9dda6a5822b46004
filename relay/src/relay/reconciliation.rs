//! Finding out which events a client and this relay lack (NIP-77).

use std::cmp::Reverse;
use std::sync::Arc;

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::reading::{Inquiry, Reading};
use super::{ConnectionId, Effect, Relay};
use crate::filter::Filter;
use crate::limits::Limits;
use crate::message::{ReconcileStep, RelayMessage, SubscriptionId};
use crate::reason::{Prefix, Reason};
use crate::reconciliation::{Records, answer};
use crate::store::{Coverage, Store, Viewer};

/// A step of a reconciliation whose records had to be read was answered.
#[derive(Clone, Debug)]
pub struct Reconciled {
    connection: ConnectionId,
    subscription: SubscriptionId,
    filter: Filter,
    /// The records, for the next step; none after a refusal.
    records: Option<Arc<Records>>,
}

impl Reconciled {
    /// Answers the step of a reading.
    pub(super) fn of(
        reading: &Reading,
        filter: &Filter,
        records: Result<Records, Reason>,
        message: &[u8],
        tell: &mut dyn FnMut(RelayMessage),
    ) -> Self {
        let subscription = reading.subscription.clone();
        let answered = records.and_then(|records| Ok((reply(&subscription, &records, message)?, records)));
        let records = match answered {
            Ok((message, records)) => {
                tell(message);
                Some(Arc::new(records))
            }
            Err(reason) => {
                tell(RelayMessage::ReconcileRefused { subscription: subscription.clone(), reason });
                None
            }
        };
        Self { connection: reading.connection, subscription, filter: filter.clone(), records }
    }
}

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
        let taken = match step {
            ReconcileStep::Open { filter, message } => {
                let opened = self.open_reconciliation(connection, subscription, filter);
                effects.push(Effect::SessionChanged(connection));
                opened.map(|()| message)
            }
            ReconcileStep::Continue(message) => Ok(message),
            ReconcileStep::Close => {
                self.close_reconciliation(connection, subscription, effects);
                return;
            }
        };
        let taken = taken.and_then(|message| self.go_on(now, connection, subscription, message, effects));
        if let Err(reason) = taken {
            self.close_reconciliation(connection, subscription, effects);
            self.challenge_for(connection, &reason, effects);
            let message = RelayMessage::ReconcileRefused { subscription: subscription.clone(), reason };
            effects.push(Effect::Send { connection, message });
        }
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

    pub(super) fn close_reconciliation(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        effects: &mut Vec<Effect>,
    ) {
        if self.reconciliations.close(connection, subscription) {
            effects.push(Effect::SessionChanged(connection));
        }
    }

    /// Answers from the records that are in memory, or has them read for the answer.
    fn go_on(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        message: &[u8],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Reason> {
        if let Some(records) = self.reconciliations.records(now, connection, subscription) {
            let message = reply(subscription, records, message)?;
            effects.push(Effect::Send { connection, message });
            return Ok(());
        }
        let Some(filter) = self.reconciliations.filter(connection, subscription).cloned() else {
            return Err(Reason::new(Prefix::Closed, "no reconciliation of this name is open"));
        };
        let inquiry = Inquiry::Reconcile { filter, message: message.to_vec() };
        self.read(now, connection, subscription, inquiry, effects);
        Ok(())
    }

    /// Keeps the records that were read for an answer, or closes what was refused, if it is still what is open.
    pub(super) fn reconciled(&mut self, now: Timestamp, reconciled: &Reconciled, effects: &mut Vec<Effect>) {
        let Reconciled { connection, subscription, filter, records } = reconciled;
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

fn reply(subscription: &SubscriptionId, records: &Records, message: &[u8]) -> Result<RelayMessage, Reason> {
    let message = answer(records, message).map_err(|error| Reason::invalid(error.to_string()))?;
    let message = base16ct::lower::encode_string(&message);
    Ok(RelayMessage::Reconcile { subscription: subscription.clone(), message })
}

/// What a filter brings. Of a filter with a `limit` it is the newest, as in a `REQ`.
pub(super) fn records<S: Sql>(
    store: &Store<S>,
    now: Timestamp,
    filter: &Filter,
    viewer: &Viewer<'_>,
    limits: &Limits,
) -> Result<Result<Records, Reason>, SqlError> {
    let (most, look_ups) = (limits.max_reconciled_events, limits.max_look_ups);
    let mut found = Vec::new();
    let coverage = store.each_match(now, filter, viewer, most, look_ups, &mut |id, _, created_at| {
        found.push((created_at, *id));
    })?;
    if coverage == Coverage::Part {
        let text = format!(
            "this query is too big: a reconciliation can be about {most} events here, and look at {look_ups}"
        );
        return Ok(Err(Reason::new(Prefix::Blocked, text)));
    }
    if let Some(limit) = filter.limit.and_then(|limit| usize::try_from(limit).ok()) {
        found.sort_unstable_by_key(|(created_at, id)| (Reverse(*created_at), *id));
        found.truncate(limit);
    }
    Ok(Ok(found.into_iter().collect()))
}
