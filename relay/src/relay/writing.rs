//! What becomes of an event: `EVENT`, and what is published from inside.

use openagents_host::event::Retention;
use openagents_host::sql::{Sql, SqlError};
use openagents_host::{Timestamp, VerifiedEvent};

use super::{ConnectionId, Effect, Relay};
use crate::message::RelayMessage;
use crate::reason::{Outcome, Prefix, Reason};
use crate::store::Insertion;

impl<S: Sql> Relay<S> {
    /// Takes an event that came over a connection.
    pub(super) fn event(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) {
        let admitted = match self.may_write(connection, event) {
            Ok(()) => self.ask_policy(now, connection, event, effects),
            Err(reason) => Err(Outcome::Refused(reason)),
        };
        let outcome = match admitted {
            Ok(()) => {
                let told = effects.len();
                let outcome = self.publish(now, event, effects);
                // The sender learns first that its event is safe.
                effects.insert(told, super::answer(connection, event.id, outcome));
                return;
            }
            Err(outcome) => outcome,
        };
        if let Outcome::Refused(reason) = &outcome {
            self.challenge_for(connection, reason, effects);
        }
        effects.push(super::answer(connection, event.id, outcome));
    }

    pub(super) fn publish(
        &mut self,
        now: Timestamp,
        event: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        match self.accept(now, event) {
            Ok(Acceptance::Duplicate) => Outcome::Duplicate,
            Ok(Acceptance::Superseded) => Outcome::Refused(Reason::invalid(
                "a newer version of this event is stored; this one is not needed",
            )),
            Ok(Acceptance::New { handed_over }) => {
                let heard = self.broadcast(event, effects);
                if let Some(due) = handed_over {
                    self.next_handover = Some(self.next_handover.map_or(due, |next| next.min(due)));
                    effects.push(Effect::HandOver(event.clone()));
                }
                let kept = event.kind.retention() != Retention::Ephemeral;
                if kept || heard || handed_over.is_some() {
                    Outcome::Accepted
                } else {
                    Outcome::Refused(Reason::new(
                        Prefix::Mute,
                        "nobody was listening to this ephemeral event",
                    ))
                }
            }
            Err(error) => {
                effects.push(Effect::Failed(error));
                Outcome::Refused(Reason::storage())
            }
        }
    }

    /// Stores an event, and that it is to be handed over, in one transaction.
    fn accept(&self, now: Timestamp, event: &VerifiedEvent) -> Result<Acceptance, SqlError> {
        let kept = event.kind.retention() != Retention::Ephemeral;
        let wanted = self.config.handover.wants(event);
        let hand_over = || Ok(Acceptance::New { handed_over: Some(self.store.hand_over(now, event, kept)?) });
        match (kept, wanted) {
            (false, false) => Ok(Acceptance::New { handed_over: None }),
            (false, true) => hand_over(),
            (true, false) => Ok(self.store.insert(event)?.into()),
            (true, true) => self.store.sql().transaction(|| match self.store.insert(event)? {
                Insertion::Inserted => hand_over(),
                other => Ok(other.into()),
            }),
        }
    }

    /// Tells everybody whose subscription an event belongs to, and says whether that was anybody.
    fn broadcast(&self, event: &VerifiedEvent, effects: &mut Vec<Effect>) -> bool {
        let before = effects.len();
        let access = &self.config.access;
        let may_hear = |connection: &ConnectionId| {
            !access.private_kinds.contains(&event.kind)
                || self.sessions.get(connection).is_some_and(|session| access.may_hear(session, event))
        };
        let told = self.subscriptions.matching(event).filter(|(connection, _)| may_hear(connection));
        effects.extend(told.map(|(connection, subscription)| Effect::Send {
            connection,
            message: RelayMessage::Event { subscription: subscription.clone(), event: event.json().clone() },
        }));
        effects.len() > before
    }
}

/// What was written for an event that came in.
enum Acceptance {
    /// It was not there before; if somebody is to get it, its delivery is due again at this time.
    New {
        handed_over: Option<Timestamp>,
    },
    Duplicate,
    Superseded,
}

impl From<Insertion> for Acceptance {
    fn from(insertion: Insertion) -> Self {
        match insertion {
            Insertion::Inserted => Self::New { handed_over: None },
            Insertion::Duplicate => Self::Duplicate,
            Insertion::Superseded => Self::Superseded,
        }
    }
}
