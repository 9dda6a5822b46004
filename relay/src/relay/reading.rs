//! What a client asks for: `REQ`, `CLOSE`, `COUNT`.

use std::collections::BTreeSet;

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{PublicKey, Timestamp};

use super::reconciliation::{self, Reconciled};
use super::{ConnectionId, Effect, Relay, RelayConfig};
use crate::access::Access;
use crate::filter::Filter;
use crate::hyperloglog::HyperLogLog;
use crate::limits::Limits;
use crate::message::{Count, RelayMessage, SubscriptionId};
use crate::reason::Reason;
use crate::store::{Coverage, Store, Viewer};

/// What takes more than so many thousand steps of the database is not answered by an engine whose host can do that beside
/// it: a few tenths of a millisecond.
const SOON: u32 = 10;

/// Nor is an answer of more bytes than this.
const SOON_LENGTH: usize = 128 * 1024;

/// No event has more bytes: it is a row.
const LONGEST_EVENT: usize = 2_000_000;

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
        self.answer_within(store, &config.access, &config.limits, tell)
    }

    /// The answer where the database failed, or took too long.
    #[must_use]
    pub fn refused(&self, error: &SqlError) -> RelayMessage {
        let subscription = self.subscription.clone();
        let reason = crate::reason::read_failed(error);
        match self.inquiry {
            Inquiry::Request(_) | Inquiry::Count(_) => RelayMessage::Closed { subscription, reason },
            Inquiry::Reconcile { .. } => RelayMessage::ReconcileRefused { subscription, reason },
        }
    }

    fn answer_within<S: Sql>(
        &self,
        store: &Store<S>,
        access: &Access,
        limits: &Limits,
        tell: &mut dyn FnMut(RelayMessage),
    ) -> Result<Option<Reconciled>, SqlError> {
        let subscription = || self.subscription.clone();
        let viewer = Viewer { private_kinds: &access.private_kinds, pubkeys: &self.pubkeys };
        match &self.inquiry {
            Inquiry::Request(filters) => {
                let completeness = store.query(self.now, filters, limits, &viewer, &mut |event| {
                    tell(RelayMessage::Event { subscription: subscription(), event });
                })?;
                tell(RelayMessage::EndOfStoredEvents { subscription: subscription(), completeness });
            }
            Inquiry::Count(filters) => {
                let count = count(store, self.now, filters, &viewer, limits.max_look_ups)?;
                tell(RelayMessage::Count { subscription: subscription(), count });
            }
            Inquiry::Reconcile { filter, message } => {
                let records = reconciliation::records(store, self.now, filter, &viewer, limits)?;
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

    /// Reads an answer, or leaves that to the host where it takes long.
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
        let told = effects.len();
        let answered = match self.reads_beside {
            true => self.read_soon(&reading, effects).map(|done| done.then_some(None)),
            false => {
                let mut send = |message| effects.push(Effect::Send { connection, message });
                reading.answer(&self.store, &self.config, &mut send).map(Some)
            }
        };
        match answered {
            Ok(Some(None)) => {}
            Ok(Some(Some(reconciled))) => self.reconciled(now, &reconciled, effects),
            Ok(None) => {
                effects.truncate(told);
                effects.push(Effect::Read(reading));
            }
            Err(error) => {
                effects.truncate(told);
                self.unreadable(&reading, &error, effects);
                effects.push(Effect::Send { connection, message: reading.refused(&error) });
            }
        }
    }

    /// Answers from the store if that is done soon; whether it was. If not, some of the answer may have been told.
    fn read_soon(&self, reading: &Reading, effects: &mut Vec<Effect>) -> Result<bool, SqlError> {
        // A search does most of its work where nobody counts its steps, and the others are asked for less often.
        let is_simple = matches!(&reading.inquiry, Inquiry::Request(filters) if filters.iter().all(|filter| filter.search.is_none()));
        if self.is_crowded || !is_simple {
            return Ok(false);
        }
        let (connection, subscription) = (reading.connection, reading.subscription.clone());
        effects.push(Effect::Answering { connection, subscription });
        let mut length: usize = 0;
        let mut send = |message: RelayMessage| {
            length = length.saturating_add(message.size());
            effects.push(Effect::Send { connection, message });
        };
        let limits = &self.config.limits;
        let limits = Limits {
            // So that what is cut here is longer than what may be answered here, whatever the next event would have been.
            max_answer_length: limits.max_answer_length.min(SOON_LENGTH.saturating_add(LONGEST_EVENT)),
            ..limits.clone()
        };
        let answered = self
            .store
            .sql()
            .limited(SOON, || reading.answer_within(&self.store, &self.config.access, &limits, &mut send));
        match answered {
            Ok(_) => Ok(length <= SOON_LENGTH),
            Err(SqlError::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was to be [read](Effect::Read) could not be. Whoever asked was [told](Reading::refused). What was asked for since
    /// under the same name is not concerned.
    pub(super) fn unreadable(&mut self, reading: &Reading, error: &SqlError, effects: &mut Vec<Effect>) {
        let Reading { connection, subscription, .. } = reading;
        if *error != SqlError::Interrupted {
            effects.push(Effect::Failed(error.clone()));
        }
        match &reading.inquiry {
            Inquiry::Request(filters) if self.subscriptions.is_to(*connection, subscription, filters) => {
                self.unsubscribe(*connection, subscription, effects);
            }
            Inquiry::Reconcile { filter, .. }
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
            None => Err(crate::reason::storage_failed()),
        }
    }
}
