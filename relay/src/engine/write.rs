//! `EVENT`, and events published from inside the process: insertion, broadcast, handover.

use openagents_host::sql::{Sql, SqlError};
use openagents_host::{Event, Timestamp, VerifiedEvent};

use super::authorize::WriteGrant;
use super::{Effect, Relay};
use crate::message::RelayMessage;
use crate::reason::{Outcome, Prefix, Reason};
use crate::session::ConnectionId;
use crate::store::{Insertion, Precheck, VANISH, expiry};

impl<S: Sql> Relay<S> {
    /// Handles an event of a client. It is prechecked here unless that was done before.
    pub(super) fn event(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        precheck: Option<&Precheck>,
        effects: &mut Vec<Effect>,
    ) {
        let admitted = match self.may_write(connection, event) {
            Ok(WriteGrant::Full) => self.ask_policy(now, connection, event, precheck.is_some(), effects),
            Ok(grant) => Ok(grant),
            Err(reason) => Err(Outcome::Refused(reason)),
        };
        match admitted {
            Ok(grant) => {
                let told = effects.len();
                let outcome = self.take(now, Some((connection, grant)), event, precheck, effects);
                // The sender learns first that its event is safe.
                effects.insert(told, super::answer(connection, event.id, outcome));
            }
            Err(outcome) => self.refuse(connection, event, outcome, effects),
        }
    }

    /// Handles an event from inside the process.
    pub(super) fn publish(
        &mut self,
        now: Timestamp,
        event: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        self.take(now, None, event, None, effects)
    }

    fn take(
        &mut self,
        now: Timestamp,
        from: Option<(ConnectionId, WriteGrant)>,
        event: &VerifiedEvent,
        precheck: Option<&Precheck>,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        match self.accept(now, from.map(|(connection, _)| connection), event, precheck) {
            Ok(Acceptance::Refused(refusal)) => refusal.into(),
            Ok(Acceptance::New { handed_over }) => {
                let kept = self.config.retention.keeps(event.kind);
                if precheck.is_none_or(|precheck| precheck.changes_others(event)) {
                    self.changes = self.changes.wrapping_add(1);
                }
                if kept {
                    self.index_later(now);
                    if let Some(end) = self.store.end(now, event) {
                        self.expect_removal(end);
                    }
                }
                if event.kind == VANISH {
                    self.expect_removal(Timestamp::EPOCH);
                }
                let may_post = from.is_none_or(|(_, grant)| grant == WriteGrant::Full);
                let heard = may_post && self.broadcast(event, effects);
                if let Some(due) = handed_over {
                    self.next_handover = Some(self.next_handover.map_or(due, |next| next.min(due)));
                    effects.push(Effect::HandOver(event.clone()));
                }
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
                Outcome::Refused(crate::reason::storage_failed())
            }
        }
    }

    /// The precheck of an event, unless its kind is not stored.
    pub(super) fn precheck(&self, now: Timestamp, event: &Event) -> Result<Option<Precheck>, SqlError> {
        match self.config.retention.keeps(event.kind) {
            false => Ok(None),
            true => self.store.precheck(now, event).map(Some),
        }
    }

    /// Stores an event, and that it is to be handed over, in one transaction.
    fn accept(
        &self,
        now: Timestamp,
        connection: Option<ConnectionId>,
        event: &VerifiedEvent,
        precheck: Option<&Precheck>,
    ) -> Result<Acceptance, SqlError> {
        let kept = self.config.retention.keeps(event.kind);
        let wanted = self.config.handover.wants(event);
        // What is kept for a while only may be gone before it has arrived.
        let stays = kept && self.config.retention.time(event.kind).is_none();
        let hand_over =
            || Ok(Acceptance::New { handed_over: Some(self.store.hand_over(now, event, stays)?) });
        let insert = || match precheck {
            _ if event.kind == VANISH && self.is_to_vanish_here(connection, event) => {
                self.store.vanish(now, event)
            }
            Some(precheck) => self.store.insert_prechecked(event, precheck),
            None => self.store.insert(now, event),
        };
        match (kept, wanted) {
            (false, _) if expiry(event).is_some_and(|expiry| expiry <= now) => {
                Ok(Acceptance::Refused(Insertion::Expired))
            }
            (false, false) => Ok(Acceptance::New { handed_over: None }),
            (false, true) => hand_over(),
            (true, false) => Ok(insert()?.into()),
            (true, true) => self.store.sql().transaction(|| match insert()? {
                Insertion::Inserted => hand_over(),
                other => Ok(other.into()),
            }),
        }
    }

    /// Whether a request to vanish is meant for this relay (NIP-62).
    pub(super) fn is_to_vanish_here(&self, connection: Option<ConnectionId>, request: &Event) -> bool {
        let session = connection.and_then(|connection| self.sessions.get(&connection));
        self.config.access.is_to_vanish_here(session, request)
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
    Refused(Insertion),
}

impl From<Insertion> for Acceptance {
    fn from(insertion: Insertion) -> Self {
        match insertion {
            Insertion::Inserted => Self::New { handed_over: None },
            refusal => Self::Refused(refusal),
        }
    }
}
