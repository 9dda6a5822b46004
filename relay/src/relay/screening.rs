//! Whether something is wanted at all: what is asked before anything dear is done.

use openagents_host::sql::Sql;
use openagents_host::{Event, Timestamp, VerifiedEvent};

use super::writing::outcome;
use super::{ConnectionId, Effect, Relay, answer};
use crate::access::AUTHENTICATION;
use crate::admission::policy::{self, Submission};
use crate::admission::{Activity, protected};
use crate::check::{self, Checked};
use crate::message::ClientMessage;
use crate::reason::{Outcome, Reason};
use crate::session::Session;
use crate::store::{Standing, VANISH};

impl<S: Sql> Relay<S> {
    /// Takes an event that came as text and keeps to the limits: verifies it if it is wanted.
    pub(super) fn event_text(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        event: Event,
        effects: &mut Vec<Effect>,
    ) {
        let screened = match self.may_write(connection, &event) {
            Ok(()) => self.new_standing(now, &event, effects),
            Err(reason) => Err(Outcome::Refused(reason)),
        };
        let id = event.id;
        let message = ClientMessage::Event(event);
        let standing = screened.and_then(|standing| {
            self.within_rate(now, connection, &message).map_err(Outcome::Refused)?;
            Ok(standing)
        });
        let refusal = match standing {
            Ok(standing) => match check::verify(message) {
                Checked::Event(event) => {
                    return self.event(now, connection, &event, standing.as_ref(), effects);
                }
                refused => return self.message(now, connection, &refused, effects),
            },
            Err(refusal) => refusal,
        };
        if let Outcome::Refused(reason) = &refusal {
            self.challenge_for(connection, reason, effects);
        }
        effects.push(answer(connection, id, refusal));
    }

    /// Whether this connection may do so now as well.
    pub(super) fn within_rate(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: &ClientMessage,
    ) -> Result<(), Reason> {
        let Some(activity) = Activity::of(message) else { return Ok(()) };
        let address = self.sessions.get(&connection).and_then(Session::address);
        self.rates.admit(now, connection, address, activity)
    }

    /// Whether this connection may write this event, as far as can be told without verifying it.
    pub(super) fn may_write(&self, connection: ConnectionId, event: &Event) -> Result<(), Reason> {
        if event.kind == AUTHENTICATION {
            return Err(Reason::invalid("an event of kind 22242 is sent with AUTH (NIP-42)"));
        }
        let Some(session) = self.sessions.get(&connection) else { return Err(Reason::storage()) };
        if !self.has_a_right_to_be_heard(connection, event) {
            self.rules.lists.admit(event)?;
            if self.config.access.auth_to_write && session.authenticated().is_empty() {
                return Err(Reason::auth_required(
                    "this relay takes events only from those who identify themselves",
                ));
            }
            self.rules.lists.admit_writer(event, session.authenticated())?;
        }
        protected::admit(event, session)
    }

    /// NIP-62: relays "that restrict who can post MUST also follow the request to vanish regardless of the user's status".
    fn has_a_right_to_be_heard(&self, connection: ConnectionId, event: &Event) -> bool {
        event.kind == VANISH && self.is_to_vanish_here(Some(connection), event)
    }

    /// Asks the deployment's policy, if there is one, about an event that is new.
    pub(super) fn ask_policy(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        standing: Option<&Standing>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Outcome> {
        let Some(policy) = &self.config.admission.policy else { return Ok(()) };
        if self.has_a_right_to_be_heard(connection, event) {
            return Ok(());
        }
        if standing.is_none() {
            self.new_standing(now, event, effects)?;
        }
        let Some(session) = self.sessions.get(&connection) else {
            return Err(Outcome::Refused(Reason::storage()));
        };
        let (address, authenticated) = (session.address(), session.authenticated());
        policy::ask(&**policy, &Submission { event, address, authenticated, now }).map_err(Outcome::Refused)
    }

    /// How the store stands to an event, if it would take it.
    fn new_standing(
        &self,
        now: Timestamp,
        event: &Event,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Standing>, Outcome> {
        let standing = self.standing(now, event).map_err(|error| {
            effects.push(Effect::Failed(error));
            Outcome::Refused(Reason::storage())
        })?;
        match standing.as_ref().and_then(Standing::refusal) {
            Some(refusal) => Err(outcome(refusal)),
            None => Ok(standing),
        }
    }
}
