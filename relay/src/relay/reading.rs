//! What a client asks for: `REQ`, `CLOSE`, `COUNT`.

use std::collections::BTreeSet;

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{PublicKey, Timestamp};

use super::reconciliation::{self, Reconciled};
use super::{ConnectionId, Effect, Relay, RelayConfig};
use crate::filter::Filter;
use crate::hyperloglog::HyperLogLog;
use crate::message::{Count, RelayMessage, SubscriptionId};
use crate::reason::Reason;
use crate::store::{Coverage, Store, Viewer};

/// What is to be read from the store for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// To which connection the answer goes.
    pub connection: ConnectionId,
    /// Under which name it was asked for.
    pub subscription: SubscriptionId,
    /// What.
    pub inquiry: Inquiry,
    /// When it was asked for.
    pub now: Timestamp,
    /// Who has asked: the keys that were proven on the connection.
    pub pubkeys: BTreeSet<PublicKey>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// The stored part of the answer to a `REQ` of these filters.
    Request(Vec<Filter>),
    /// How many events match any of these (NIP-45).
    Count(Vec<Filter>),
    /// What the answer is to this message about the events of this filter (NIP-77).
    Reconcile {
        /// The filter.
        filter: Filter,
        /// The client's message.
        message: Vec<u8>,
    },
}

impl Reading {
    /// Reads the answer, all of it: for a `REQ` up to and with `EOSE`. More than one statement is run, which must all see
    /// the same state. What comes back is for the engine ([`Input::Reconciled`](super::Input::Reconciled)).
    ///
    /// # Errors
    /// When the database fails. Then what was told so far is not to be sent.
    pub fn answer<S: Sql>(
        &self,
        store: &Store<S>,
        config: &RelayConfig,
        tell: &mut dyn FnMut(RelayMessage),
    ) -> Result<Option<Reconciled>, SqlError> {
        let subscription = || self.subscription.clone();
        let viewer = Viewer { private_kinds: &config.access.private_kinds, pubkeys: &self.pubkeys };
        match &self.inquiry {
            Inquiry::Request(filters) => {
                let completeness = store.query(self.now, filters, &config.limits, &viewer, &mut |event| {
                    tell(RelayMessage::Event { subscription: subscription(), event });
                })?;
                tell(RelayMessage::EndOfStoredEvents { subscription: subscription(), completeness });
            }
            Inquiry::Count(filters) => {
                let count = count(store, self.now, filters, &viewer, config.limits.max_look_ups)?;
                tell(RelayMessage::Count { subscription: subscription(), count });
            }
            Inquiry::Reconcile { filter, message } => {
                let records = reconciliation::records(store, self.now, filter, &viewer, &config.limits)?;
                let reconciled = Reconciled::of(self, filter, records, message, tell);
                return Ok(Some(reconciled));
            }
        }
        Ok(None)
    }
}

/// Counts, and takes the authors into account where NIP-45 wants that. Those of only some of the events would be taken for
/// those of all.
fn count<S: Sql>(
    store: &Store<S>,
    now: Timestamp,
    filters: &[Filter],
    viewer: &Viewer<'_>,
    look_ups: u64,
) -> Result<Count, SqlError> {
    if let [filter] = filters
        && let Some(mut registers) = HyperLogLog::of(filter)
    {
        let mut count: u64 = 0;
        let coverage = store.each_match(now, filter, viewer, look_ups, look_ups, &mut |_, author, _| {
            count = count.saturating_add(1);
            registers.add(author);
        })?;
        if coverage == Coverage::All {
            let registers = Some(registers.into_registers());
            return Ok(Count { count, is_approximate: false, registers });
        }
    }
    let counted = store.count(now, filters, viewer, look_ups)?;
    Ok(Count { count: counted.count, is_approximate: counted.approximate, registers: None })
}

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
                self.read(now, connection, subscription, Inquiry::Request(filters.to_vec()), effects);
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

    /// Reads an answer, or leaves that to the host.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        inquiry: Inquiry,
        effects: &mut Vec<Effect>,
    ) {
        let pubkeys = self.viewer(connection).pubkeys.clone();
        let reading = Reading { connection, subscription: subscription.clone(), inquiry, now, pubkeys };
        if self.reads_beside {
            effects.push(Effect::Read(reading));
            return;
        }
        let told = effects.len();
        let mut send = |message| effects.push(Effect::Send { connection, message });
        match reading.answer(&self.store, &self.config, &mut send) {
            Ok(None) => {}
            Ok(Some(reconciled)) => self.reconciled(now, &reconciled, effects),
            Err(error) => {
                effects.truncate(told);
                self.unreadable(&reading, &error, effects);
            }
        }
    }

    /// What was to be [read](Effect::Read) could not be.
    pub(super) fn unreadable(&mut self, reading: &Reading, error: &SqlError, effects: &mut Vec<Effect>) {
        let connection = reading.connection;
        effects.push(Effect::Failed(error.clone()));
        let (subscription, reason) = (reading.subscription.clone(), Reason::storage());
        let message = match reading.inquiry {
            Inquiry::Request(_) => {
                self.unsubscribe(connection, &subscription, effects);
                RelayMessage::Closed { subscription, reason }
            }
            Inquiry::Count(_) => RelayMessage::Closed { subscription, reason },
            Inquiry::Reconcile { .. } => {
                self.close_reconciliation(connection, &subscription, effects);
                RelayMessage::ReconcileRefused { subscription, reason }
            }
        };
        effects.push(Effect::Send { connection, message });
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

    /// Answers a `COUNT` (NIP-45). It counts what a `REQ` without a `limit` would bring: a `limit` says how many events are to
    /// be sent, and none are.
    pub(super) fn count(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) {
        match self.may_count(connection, filters) {
            Ok(()) => self.read(now, connection, subscription, Inquiry::Count(filters.to_vec()), effects),
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
            None => Err(Reason::storage()),
        }
    }
}
