//! What a client asks for: `REQ`, `CLOSE`, `COUNT`.

use openagents_host::sql::Sql;

use super::{ConnectionId, Effect, Relay};
use crate::filter::Filter;
use crate::message::{Completeness, RelayMessage, SubscriptionId};
use crate::reason::Reason;

impl<S: Sql> Relay<S> {
    /// Subscribes and answers from the store. Nothing can come between the two: no event is missed or sent twice.
    pub(super) fn request(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) {
        let send = |message| Effect::Send { connection, message };
        let answered = self.may_read(connection, filters).and_then(|()| {
            self.subscriptions.subscribe(connection, subscription, filters, &self.config.limits)?;
            let queried = self.store.query(filters, &self.config.limits, &mut |event| {
                effects.push(send(RelayMessage::Event { subscription: subscription.clone(), event }));
            });
            queried.map_err(|error| {
                effects.push(Effect::Failed(error));
                Reason::storage()
            })
        });
        match answered {
            Ok(()) => {
                let completeness = Completeness::Unknown;
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
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) {
        let reason = match self.may_read(connection, filters) {
            Ok(()) => Reason::unsupported("this relay does not count"),
            Err(reason) => reason,
        };
        self.challenge_for(connection, &reason, effects);
        let message = RelayMessage::Closed { subscription: subscription.clone(), reason };
        effects.push(Effect::Send { connection, message });
    }

    fn may_read(&self, connection: ConnectionId, filters: &[Filter]) -> Result<(), Reason> {
        match self.sessions.get(&connection) {
            Some(session) => self.config.access.may_read(session, filters),
            None => Err(Reason::storage()),
        }
    }
}
