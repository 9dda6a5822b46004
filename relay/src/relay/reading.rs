//! What a client asks for: `REQ`, `CLOSE`, `COUNT`.

use std::collections::BTreeSet;

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{PublicKey, Timestamp};

use super::{ConnectionId, Effect, Relay, RelayConfig};
use crate::access::Access;
use crate::filter::Filter;
use crate::hyperloglog::HyperLogLog;
use crate::limits::Limits;
use crate::message::{Count, RelayMessage, SubscriptionId};
use crate::reason::{Prefix, Reason};
use crate::store::{Store, Viewer};

/// Of how many events the authors are looked at for the registers of a count. Those of only some of the authors would be
/// taken for those of all.
const MOST_AUTHORS: u64 = 200_000;

/// What takes more than so many thousand steps of the database is not answered by an engine whose host can do that beside
/// it: a few tenths of a millisecond.
const SOON: u32 = 10;

/// Nor is an answer of more bytes than this.
const SOON_LENGTH: usize = 128 * 1024;

/// The stored part of the answer to a `REQ`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// To which connection it goes.
    pub connection: ConnectionId,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// What each event must match one of.
    pub filters: Vec<Filter>,
    /// When it was asked for.
    pub now: Timestamp,
    /// Who has asked: the keys that were proven on the connection.
    pub pubkeys: BTreeSet<PublicKey>,
}

impl Reading {
    /// Reads the answer, up to and with `EOSE`. More than one statement is run, which must all see the same state.
    ///
    /// # Errors
    /// When the database fails. Then what was told so far is not to be sent.
    pub fn answer<S: Sql>(
        &self,
        store: &Store<S>,
        config: &RelayConfig,
        tell: &mut dyn FnMut(RelayMessage),
    ) -> Result<(), SqlError> {
        self.answer_within(store, &config.access, &config.limits, tell)
    }

    fn answer_within<S: Sql>(
        &self,
        store: &Store<S>,
        access: &Access,
        limits: &Limits,
        tell: &mut dyn FnMut(RelayMessage),
    ) -> Result<(), SqlError> {
        let subscription = || self.subscription.clone();
        let viewer = Viewer { private_kinds: &access.private_kinds, pubkeys: &self.pubkeys };
        let completeness = store.query(self.now, &self.filters, limits, &viewer, &mut |event| {
            tell(RelayMessage::Event { subscription: subscription(), event });
        })?;
        tell(RelayMessage::EndOfStoredEvents { subscription: subscription(), completeness });
        Ok(())
    }
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
        let answered = self.may_read(connection, filters).and_then(|()| {
            self.subscriptions.subscribe(connection, subscription, filters, &self.config.limits)?;
            self.prepare_search(now, filters, effects);
            let (subscription, filters) = (subscription.clone(), filters.to_vec());
            let pubkeys = self.viewer(connection).pubkeys.clone();
            let reading = Reading { connection, subscription, filters, now, pubkeys };
            self.read(reading, effects)
        });
        match answered {
            Ok(()) => effects.push(Effect::SessionChanged(connection)),
            Err(reason) => {
                // A subscription of this name would go on under a name that the client takes for closed.
                self.unsubscribe(connection, subscription, effects);
                self.challenge_for(connection, &reason, effects);
                let message = RelayMessage::Closed { subscription: subscription.clone(), reason };
                effects.push(Effect::Send { connection, message });
            }
        }
    }

    /// Answers from the store, or leaves that to the host where it takes long.
    fn read(&self, reading: Reading, effects: &mut Vec<Effect>) -> Result<(), Reason> {
        // A search does most of its work where nobody counts its steps.
        let is_search = reading.filters.iter().any(|filter| filter.search.is_some());
        if self.reads_beside && (self.is_crowded || is_search) {
            effects.push(Effect::Read(reading));
            return Ok(());
        }
        let (told, connection) = (effects.len(), reading.connection);
        let answered = match self.reads_beside {
            true => self.read_soon(&reading, effects),
            false => {
                let mut send = |message| effects.push(Effect::Send { connection, message });
                reading.answer(&self.store, &self.config, &mut send).map(|()| true)
            }
        };
        match answered {
            Ok(true) => Ok(()),
            Ok(false) => {
                effects.truncate(told);
                effects.push(Effect::Read(reading));
                Ok(())
            }
            Err(error) => {
                effects.truncate(told);
                effects.push(Effect::Failed(error));
                Err(Reason::storage())
            }
        }
    }

    /// Answers from the store if that is done soon; whether it was. If not, some of the answer may have been told.
    fn read_soon(&self, reading: &Reading, effects: &mut Vec<Effect>) -> Result<bool, SqlError> {
        let connection = reading.connection;
        let mut length: usize = 0;
        let mut send = |message: RelayMessage| {
            length = length.saturating_add(message.size());
            effects.push(Effect::Send { connection, message });
        };
        let limits = &self.config.limits;
        let limits = Limits {
            max_answer_length: limits.max_answer_length.min(SOON_LENGTH.saturating_mul(2)),
            ..limits.clone()
        };
        let answered = self
            .store
            .sql()
            .limited(SOON, || reading.answer_within(&self.store, &self.config.access, &limits, &mut send));
        match answered {
            Ok(()) => Ok(length <= SOON_LENGTH),
            Err(SqlError::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was to be [read](Effect::Read) for a subscription could not be.
    pub(super) fn unreadable(&mut self, reading: &Reading, error: &SqlError, effects: &mut Vec<Effect>) {
        let Reading { connection, subscription, .. } = reading;
        let reason = if *error == SqlError::Interrupted {
            Reason::new(
                Prefix::Error,
                "finding what this asks for takes too long; name fewer or rarer things, or a shorter time",
            )
        } else {
            effects.push(Effect::Failed(error.clone()));
            Reason::storage()
        };
        self.unsubscribe(*connection, subscription, effects);
        let message = RelayMessage::Closed { subscription: subscription.clone(), reason };
        effects.push(Effect::Send { connection: *connection, message });
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
        let counted = self.may_count(connection, filters).and_then(|()| {
            self.count_stored(now, connection, filters).map_err(|error| {
                effects.push(Effect::Failed(error));
                Reason::storage()
            })
        });
        let subscription = subscription.clone();
        let message = match counted {
            Ok(count) => RelayMessage::Count { subscription, count },
            Err(reason) => {
                self.challenge_for(connection, &reason, effects);
                RelayMessage::Closed { subscription, reason }
            }
        };
        effects.push(Effect::Send { connection, message });
    }

    fn may_count(&self, connection: ConnectionId, filters: &[Filter]) -> Result<(), Reason> {
        self.may_read(connection, filters)?;
        if filters.iter().any(|filter| filter.search.is_some()) {
            return Err(Reason::unsupported("this relay does not count what a search finds"));
        }
        Ok(())
    }

    fn count_stored(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        filters: &[Filter],
    ) -> Result<Count, SqlError> {
        let viewer = self.viewer(connection);
        if let [filter] = filters
            && let Some(mut registers) = HyperLogLog::of(filter)
        {
            let mut count: u64 = 0;
            let one_more = MOST_AUTHORS.saturating_add(1);
            self.store.each_match(now, filter, &viewer, one_more, &mut |_, author, _| {
                count = count.saturating_add(1);
                registers.add(author);
            })?;
            if count <= MOST_AUTHORS {
                let registers = Some(registers.into_registers());
                return Ok(Count { count, is_approximate: false, registers });
            }
        }
        let counted = self.store.count(now, filters, &viewer)?;
        Ok(Count { count: counted.count, is_approximate: counted.approximate, registers: None })
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
