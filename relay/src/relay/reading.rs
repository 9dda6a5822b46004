//! What a client asks for: `REQ`, `CLOSE`, `COUNT`.

use openagents_host::Timestamp;
use openagents_host::sql::Sql;

use super::{ConnectionId, Effect, Relay};
use crate::filter::Filter;
use crate::message::{self, RelayMessage, SubscriptionId};
use crate::reason::Reason;
use crate::store::{Count, Viewer};

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

    /// Answers a `COUNT` (NIP-45).
    pub(super) fn count(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) {
        let counted = self.may_read(connection, filters).and_then(|()| {
            self.store.count(now, filters, &self.viewer(connection)).map_err(|error| {
                effects.push(Effect::Failed(error));
                Reason::storage()
            })
        });
        let subscription = subscription.clone();
        let message = match counted {
            Ok(Count { count, approximate }) => {
                let count = message::Count { count, is_approximate: approximate, registers: None };
                RelayMessage::Count { subscription, count }
            }
            Err(reason) => {
                self.challenge_for(connection, &reason, effects);
                RelayMessage::Closed { subscription, reason }
            }
        };
        effects.push(Effect::Send { connection, message });
    }

    /// Who reads over a connection.
    fn viewer(&self, connection: ConnectionId) -> Viewer<'_> {
        match self.sessions.get(&connection) {
            Some(session) => {
                Viewer { private_kinds: &self.config.access.private_kinds, pubkeys: session.authenticated() }
            }
            None => Viewer { private_kinds: &self.config.access.private_kinds, ..Viewer::everything() },
        }
    }

    fn may_read(&self, connection: ConnectionId, filters: &[Filter]) -> Result<(), Reason> {
        match self.sessions.get(&connection) {
            Some(session) => self.config.access.may_read(session, filters),
            None => Err(Reason::storage()),
        }
    }
}
