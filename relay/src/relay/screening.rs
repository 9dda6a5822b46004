//! Whether something is wanted at all: what is asked before anything dear is done.

use openagents_host::sql::Sql;
use openagents_host::{Event, Timestamp, VerifiedEvent};

use super::crowd::Foresight;
use super::{ConnectionId, Effect, Relay, answer, writing};
use crate::access::AUTHENTICATION;
use crate::admission::policy::{self, Submission};
use crate::admission::{Activity, protected};
use crate::check::{self, Checked};
use crate::message::ClientMessage;
use crate::reason::{Outcome, Reason};
use crate::session::ClientSession;
use crate::store::{Standing, VANISH};

/// How many bytes the content and the tags of a request to vanish can have that is taken only since it must be.
const LONGEST_RIGHT: usize = 1_024;

/// Why an event is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// Whoever wrote or brought it may write here.
    Welcome,
    /// Everybody may vanish (NIP-62). It is followed, but nobody is told.
    RightToVanish,
}

impl<S: Sql> Relay<S> {
    /// Verifies a message that came as text, if it is wanted; answers it otherwise. How the store stands to an event comes
    /// with it.
    pub(super) fn screen(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: ClientMessage,
        foresight: Foresight,
        effects: &mut Vec<Effect>,
    ) -> Option<(Checked, Option<Standing>)> {
        let mut standing = None;
        if let ClientMessage::Event(event) = &message
            && let Err(reason) = self.may_write(connection, event)
        {
            self.refuse(connection, event, Outcome::Refused(reason), effects);
            return None;
        }
        if foresight == Foresight::Nothing
            && let Err(reason) = self.within_rates(now, connection, &message)
        {
            return Some((Checked::Refused(check::refuse(message, reason)), None));
        }
        // The database is asked only within the rate: also to find out that nothing is to be stored has its price.
        if let ClientMessage::Event(event) = &message {
            let known = match foresight {
                Foresight::Ordinary { changes } if changes == self.changes => {
                    Ok(Some(self.store.ordinary_standing(now, event)))
                }
                _ => self.standing_of(now, event, effects),
            };
            match known {
                Ok(known) => standing = known,
                Err(outcome) => {
                    self.refuse(connection, event, outcome, effects);
                    return None;
                }
            }
        }
        Some((check::verify(message), standing))
    }

    /// Counts a message against the rates of its connection.
    pub(super) fn within_rates(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: &ClientMessage,
    ) -> Result<(), Reason> {
        let Some(activity) = Activity::of(message) else { return Ok(()) };
        let address = self.sessions.get(&connection).and_then(ClientSession::address);
        self.rates.admit(now, connection, address, activity)
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
            Outcome::Refused(crate::reason::storage_failed())
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

    /// Whether this connection may write this event, as far as can be told without verifying it, and why.
    pub(super) fn may_write(&self, connection: ConnectionId, event: &Event) -> Result<Ground, Reason> {
        if event.kind == AUTHENTICATION {
            return Err(Reason::invalid("an event of kind 22242 is sent with AUTH (NIP-42)"));
        }
        let Some(session) = self.sessions.get(&connection) else {
            return Err(crate::reason::storage_failed());
        };
        let ground = match self.is_welcome(session, event) {
            Ok(()) => Ground::Welcome,
            Err(reason) => self.right_to_vanish(connection, event, reason)?,
        };
        protected::admit(event, session)?;
        Ok(ground)
    }

    fn is_welcome(&self, session: &ClientSession, event: &Event) -> Result<(), Reason> {
        self.rules.lists.admit(event)?;
        if self.config.access.auth_to_write && session.authenticated().is_empty() {
            return Err(Reason::auth_required(
                "this relay takes events only from those who identify themselves",
            ));
        }
        self.rules.lists.admit_writer(event, session.authenticated())
    }

    /// NIP-62: relays "that restrict who can post MUST also follow the request to vanish regardless of the user's status".
    /// It is a right to be forgotten, not one to be read: what is said beside the request must be short.
    fn right_to_vanish(
        &self,
        connection: ConnectionId,
        event: &Event,
        refusal: Reason,
    ) -> Result<Ground, Reason> {
        if event.kind != VANISH || !self.is_to_vanish_here(Some(connection), event) {
            return Err(refusal);
        }
        // A text stands in quotes, a comma behind it.
        let texts = event.tags.iter().flatten().chain([&event.content]);
        let length = texts.fold(0_usize, |sum, text| sum.saturating_add(text.len()).saturating_add(3));
        if length > LONGEST_RIGHT {
            return Err(Reason::invalid(format!(
                "the request to vanish of somebody who may not write here can have {LONGEST_RIGHT} bytes of content and tags"
            )));
        }
        Ok(Ground::RightToVanish)
    }

    /// Asks the deployment's policy, if there is one, about an event that is not stored, and says on what ground it is taken.
    pub(super) fn ask_policy(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        is_new: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<Ground, Outcome> {
        let Some(policy) = &self.config.admission.policy else { return Ok(Ground::Welcome) };
        if !is_new {
            self.standing_of(now, event, effects)?;
        }
        let Some(session) = self.sessions.get(&connection) else {
            return Err(Outcome::Refused(crate::reason::storage_failed()));
        };
        let (address, authenticated) = (session.address(), session.authenticated());
        match policy::ask(&**policy, &Submission { event, address, authenticated, now }) {
            Ok(()) => Ok(Ground::Welcome),
            Err(reason) => self.right_to_vanish(connection, event, reason).map_err(Outcome::Refused),
        }
    }
}
