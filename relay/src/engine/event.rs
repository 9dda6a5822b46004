//! `EVENT`, and publications from inside the process: authorization by the session half, insertion by the shard half,
//! then broadcast and handover.

use openagents_host::sql::Sql;
use openagents_host::{Event, Kind, Timestamp, VerifiedEvent};

use super::session_engine::WriteGrant;
use super::shard_api::{InsertReply, InsertRequest};
use super::{Effect, Relay, answer};
use crate::admission::Freshness;
use crate::reason::{Outcome, Prefix, Reason};
use crate::session::ConnectionId;
use crate::store::{Insertion, Precheck};
use crate::validate;

impl<S: Sql> Relay<S> {
    /// Handles a client's event that is not verified yet. Checks go from cheap to expensive. What the store knows of its
    /// id is told only after it is verified, or is found to be the event that is stored.
    pub(super) fn unverified_event(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        event: Event,
        Freshness(fresh_after): Freshness,
        effects: &mut Vec<Effect>,
    ) {
        let grant = match self.sessions.authorize_write(connection, &event) {
            Ok(grant) => grant,
            Err(reason) => {
                self.sessions.refuse(connection, event.id, Outcome::Refused(reason), effects);
                return;
            }
        };
        // The store is queried only within the rate limit, because even a query that leads to a refusal costs
        // something.
        let fresh = fresh_after.and_then(|changes| self.shard.precheck_fresh(now, &event, changes));
        let precheck = match fresh {
            Some(fresh) => Some(fresh),
            None => match self.precheck(now, &event, effects) {
                Ok(precheck) => precheck,
                Err(reason) => {
                    self.sessions.refuse(connection, event.id, Outcome::Refused(reason), effects);
                    return;
                }
            },
        };
        if precheck.as_ref().is_some_and(|precheck| precheck.is_stored(&event))
            && self.sessions.may_know_of(connection, &event)
        {
            effects.push(answer(connection, event.id, Outcome::Duplicate));
            return;
        }
        match validate::verified(event) {
            Ok(event) => self.authorized_event(now, connection, &event, grant, precheck.as_ref(), effects),
            Err(message) => effects.push(Effect::Send { connection, message }),
        }
    }

    /// Handles a client's event that was verified before: by the host, or together with others.
    pub(super) fn verified_event(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        Freshness(fresh_after): Freshness,
        effects: &mut Vec<Effect>,
    ) {
        match self.sessions.authorize_write(connection, event) {
            Ok(grant) => {
                let fresh = fresh_after.and_then(|changes| self.shard.precheck_fresh(now, event, changes));
                self.authorized_event(now, connection, event, grant, fresh.as_ref(), effects);
            }
            Err(reason) => self.sessions.refuse(connection, event.id, Outcome::Refused(reason), effects),
        }
    }

    /// Handles an event that the connection may publish. Prechecks it unless that was done before.
    fn authorized_event(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        grant: WriteGrant,
        precheck: Option<&Precheck>,
        effects: &mut Vec<Effect>,
    ) {
        let admitted = match grant {
            WriteGrant::Full if self.sessions.has_policy() => {
                // The policy is not called for events that would not be stored.
                match self.refusal(now, event, precheck, effects) {
                    Ok(Some(refusal)) if self.may_be_told(Some(connection), event, refusal) => {
                        Err(refusal.into())
                    }
                    Ok(_) => self.sessions.ask_policy(now, connection, event),
                    Err(reason) => Err(Outcome::Refused(reason)),
                }
            }
            grant => Ok(grant),
        };
        match admitted {
            Ok(grant) => {
                let vanishes = self.vanishes(Some(connection), event);
                let sent_before = effects.len();
                let request = InsertRequest { event, precheck, vanishes };
                let outcome = self.insert(now, Some(connection), grant, &request, effects);
                // The sender gets its `OK` before the event is broadcast.
                effects.insert(sent_before, answer(connection, event.id, outcome));
            }
            Err(outcome) => self.sessions.refuse(connection, event.id, outcome, effects),
        }
    }

    /// Handles an event published from inside the process.
    pub(super) fn publish(
        &mut self,
        now: Timestamp,
        event: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let request = InsertRequest { event, precheck: None, vanishes: self.vanishes(None, event) };
        self.insert(now, None, WriteGrant::Full, &request, effects)
    }

    /// Inserts an event, which this connection or the process itself publishes, and broadcasts it or hands it over.
    fn insert(
        &mut self,
        now: Timestamp,
        connection: Option<ConnectionId>,
        grant: WriteGrant,
        request: &InsertRequest<'_>,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let (is_stored, is_handed_over) = match self.shard.insert(now, request) {
            Ok(InsertReply::New { is_stored, is_handed_over }) => (is_stored, is_handed_over),
            Ok(InsertReply::Refused(refusal)) => {
                return match self.may_be_told(connection, request.event, refusal) {
                    true => refusal.into(),
                    false => Outcome::Accepted,
                };
            }
            Err(error) => {
                effects.push(Effect::Failed(error));
                return Outcome::Refused(crate::reason::storage_failed());
            }
        };
        let is_received = grant == WriteGrant::Full && self.sessions.broadcast(request.event, effects);
        if is_handed_over {
            effects.push(Effect::HandOver(request.event.clone()));
        }
        if is_stored || is_received || is_handed_over {
            Outcome::Accepted
        } else {
            Outcome::Refused(Reason::new(Prefix::Mute, "nobody was listening to this ephemeral event"))
        }
    }

    /// The precheck of an event; `None` if its kind is not stored.
    fn precheck(
        &self,
        now: Timestamp,
        event: &Event,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Precheck>, Reason> {
        self.shard.precheck(now, event).map_err(|error| {
            effects.push(Effect::Failed(error));
            crate::reason::storage_failed()
        })
    }

    /// Why the store would refuse an event. Prechecks it unless that was done before.
    fn refusal(
        &self,
        now: Timestamp,
        event: &Event,
        precheck: Option<&Precheck>,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Insertion>, Reason> {
        match precheck {
            Some(precheck) => Ok(precheck.refusal()),
            None => Ok(self.precheck(now, event, effects)?.and_then(|precheck| precheck.refusal())),
        }
    }

    /// Whether a client, or the process itself, may be told why the store refuses an event. A private event is treated
    /// as unknown to those who may not read it: they could find out otherwise whether it is stored. Deletions and
    /// requests to vanish can be read by everybody.
    fn may_be_told(&self, connection: Option<ConnectionId>, event: &Event, refusal: Insertion) -> bool {
        match refusal {
            Insertion::Duplicate | Insertion::Superseded => {
                connection.is_none_or(|connection| self.sessions.may_know_of(connection, event))
            }
            _ => true,
        }
    }

    /// Whether this is a request to vanish addressed to this relay (NIP-62).
    fn vanishes(&self, connection: Option<ConnectionId>, event: &Event) -> bool {
        event.kind == Kind::VANISH && self.sessions.is_to_vanish_here(connection, event)
    }
}
