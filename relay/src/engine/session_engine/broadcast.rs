//! Broadcast of a new event to the subscriptions that match it.

use openagents_host::VerifiedEvent;

use super::SessionEngine;
use crate::engine::Effect;
use crate::session::ConnectionId;
use openagents_host::nostr::message::RelayMessage;

impl SessionEngine {
    /// Sends an event to all subscriptions that match it; returns whether there was any.
    pub(in crate::engine) fn broadcast(&self, event: &VerifiedEvent, effects: &mut Vec<Effect>) -> bool {
        let before = effects.len();
        let access = &self.config.access;
        let may_receive = |connection: &ConnectionId| {
            !access.private_kinds.contains(&event.kind)
                || self.sessions.get(connection).is_some_and(|session| access.may_receive(session, event))
        };
        let recipients = self.subscriptions.matching(event).filter(|(connection, _)| may_receive(connection));
        effects.extend(recipients.map(|(connection, subscription)| Effect::Send {
            connection,
            message: RelayMessage::Event { subscription: subscription.clone(), event: event.json().clone() },
        }));
        effects.len() > before
    }
}
