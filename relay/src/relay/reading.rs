//! What a client asks for: `REQ`, `CLOSE`, `COUNT`.

use openagents_host::Timestamp;
use openagents_host::sql::{Sql, SqlError};

use super::{ConnectionId, Effect, Relay};
use crate::filter::Filter;
use crate::hyperloglog::HyperLogLog;
use crate::message::{Count, RelayMessage, SubscriptionId};
use crate::reason::Reason;
use crate::store::Viewer;

/// Of how many events the authors are looked at for the registers of a count. Those of only some of the authors would be
/// taken for those of all.
const MOST_AUTHORS: u64 = 200_000;

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
        let send = |message| Effect::Send { connection, message };
        let answered = self.may_read(connection, filters).and_then(|()| {
            self.subscriptions.subscribe(connection, subscription, filters, &self.config.limits)?;
            self.prepare_search(now, filters, effects);
            let viewer = self.viewer(connection);
            let queried = self.store.query(now, filters, &self.config.limits, &viewer, &mut |event| {
                effects.push(send(RelayMessage::Event { subscription: subscription.clone(), event }));
            });
            queried.map_err(|error| {
                effects.push(Effect::Failed(error));
                Reason::storage()
            })
        });
        match answered {
            Ok(completeness) => {
                let subscription = subscription.clone();
                effects.push(send(RelayMessage::EndOfStoredEvents { subscription, completeness }));
                effects.push(Effect::SessionChanged(connection));
            }
            Err(reason) => {
                // A subscription of this name would go on under a name that the client takes for closed.
                self.unsubscribe(connection, subscription, effects);
                self.challenge_for(connection, &reason, effects);
                effects.push(send(RelayMessage::Closed { subscription: subscription.clone(), reason }));
            }
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
