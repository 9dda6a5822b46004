//! Whether something is wanted at all: what is asked before anything dear is done.

use openagents_host::sql::Sql;
use openagents_host::{Event, Timestamp, VerifiedEvent};

use super::{ConnectionId, Effect, Relay, answer};
use crate::access::AUTHENTICATION;
use crate::admission::policy::{self, Submission};
use crate::admission::{Activity, protected};
use crate::check::{self, Checked};
use crate::message::ClientMessage;
use crate::reason::{Outcome, Reason};

impl<S: Sql> Relay<S> {
    /// Verifies a message that came as text, if it is wanted; answers it otherwise.
    pub(super) fn screen(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: ClientMessage,
        effects: &mut Vec<Effect>,
    ) -> Option<Checked> {
        if let ClientMessage::Event(event) = &message {
            if let Err(reason) = self.may_write(connection, event) {
                self.challenge_for(connection, &reason, effects);
                effects.push(answer(connection, event.id, Outcome::Refused(reason)));
                return None;
            }
            if self.is_stored(&event.id, effects) {
                effects.push(answer(connection, event.id, Outcome::Duplicate));
                return None;
            }
        }
        let address = self.sessions.get(&connection).and_then(crate::Session::address);
        let admitted = match Activity::of(&message) {
            Some(activity) => self.rates.admit(now, connection, address, activity),
            None => Ok(()),
        };
        Some(match admitted {
            Ok(()) => check::verify(message),
            Err(reason) => Checked::Refused(check::refuse(message, reason)),
        })
    }

    /// Whether this connection may write this event, as far as can be told without verifying it.
    pub(super) fn may_write(&self, connection: ConnectionId, event: &Event) -> Result<(), Reason> {
        if event.kind == AUTHENTICATION {
            return Err(Reason::invalid("an event of kind 22242 is sent with AUTH (NIP-42)"));
        }
        let Some(session) = self.sessions.get(&connection) else { return Err(Reason::storage()) };
        self.rules.lists.admit(event)?;
        if self.config.access.auth_to_write && session.authenticated().is_empty() {
            return Err(Reason::auth_required(
                "this relay takes events only from those who identify themselves",
            ));
        }
        self.rules.lists.admit_writer(event, session.authenticated())?;
        protected::admit(event, session)
    }

    /// Asks the deployment's policy, if there is one, about an event that is not stored.
    pub(super) fn ask_policy(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Outcome> {
        let Some(policy) = &self.config.admission.policy else { return Ok(()) };
        if self.is_stored(&event.id, effects) {
            return Err(Outcome::Duplicate);
        }
        let Some(session) = self.sessions.get(&connection) else {
            return Err(Outcome::Refused(Reason::storage()));
        };
        let (address, authenticated) = (session.address(), session.authenticated());
        policy::ask(&**policy, &Submission { event, address, authenticated, now }).map_err(Outcome::Refused)
    }
}
