//! Whether something is wanted at all: what is asked before anything dear is done.

use openagents_host::sql::Sql;
use openagents_host::{Event, Timestamp, VerifiedEvent};

use super::{ConnectionId, Effect, Relay, answer, writing};
use crate::access::AUTHENTICATION;
use crate::admission::policy::{self, Submission};
use crate::admission::{Activity, protected};
use crate::check::{self, Checked};
use crate::message::ClientMessage;
use crate::reason::{Outcome, Reason};
use crate::store::{Standing, VANISH};

impl<S: Sql> Relay<S> {
    /// Verifies a message that came as text, if it is wanted; answers it otherwise. How the store stands to an event comes
    /// with it.
    pub(super) fn screen(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: ClientMessage,
        effects: &mut Vec<Effect>,
    ) -> Option<(Checked, Option<Standing>)> {
        let mut standing = None;
        if let ClientMessage::Event(event) = &message {
            if let Err(reason) = self.may_write(connection, event) {
                self.refuse(connection, event, Outcome::Refused(reason), effects);
                return None;
            }
        }
        let address = self.sessions.get(&connection).and_then(crate::Session::address);
        if let Some(activity) = Activity::of(&message)
            && let Err(reason) = self.rates.admit(now, connection, address, activity)
        {
            return Some((Checked::Refused(check::refuse(message, reason)), None));
        }
        // The database is asked only within the rate: also to find out that nothing is to be stored has its price.
        if let ClientMessage::Event(event) = &message {
            match self.standing_of(now, event, effects) {
                Ok(known) => standing = known,
                Err(outcome) => {
                    self.refuse(connection, event, outcome, effects);
                    return None;
                }
            }
        }
        Some((check::verify(message), standing))
    }

    /// How the store stands to an event that it would take.
    fn standing_of(
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
            Some(refusal) => Err(writing::outcome(refusal)),
            None => Ok(standing),
        }
    }

    /// Answers an event that is not taken.
    pub(super) fn refuse(
        &mut self,
        connection: ConnectionId,
        event: &Event,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        if let Outcome::Refused(reason) = &outcome {
            self.challenge_for(connection, reason, effects);
        }
        effects.push(answer(connection, event.id, outcome));
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

    /// Asks the deployment's policy, if there is one, about an event that is not stored.
    pub(super) fn ask_policy(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        is_new: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Outcome> {
        let Some(policy) = &self.config.admission.policy else { return Ok(()) };
        if self.has_a_right_to_be_heard(connection, event) {
            return Ok(());
        }
        if !is_new {
            self.standing_of(now, event, effects)?;
        }
        let Some(session) = self.sessions.get(&connection) else {
            return Err(Outcome::Refused(Reason::storage()));
        };
        let (address, authenticated) = (session.address(), session.authenticated());
        policy::ask(&**policy, &Submission { event, address, authenticated, now }).map_err(Outcome::Refused)
    }
}
