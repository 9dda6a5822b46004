//! Authorization and rate limits, decided before the expensive signature check.

use openagents_host::sql::Sql;
use openagents_host::{Event, Timestamp, VerifiedEvent};

use super::batch::Prescreened;
use super::{Effect, Relay, answer};
use crate::admission::access::AUTHENTICATION;
use crate::admission::policy::{self, Submission};
use crate::admission::{Activity, protected};
use crate::message::ClientMessage;
use crate::reason::{Outcome, Reason};
use crate::session::{ClientSession, ConnectionId};
use crate::store::{Precheck, VANISH};
use crate::validate::{self, Checked};

/// The most bytes of content and tags in a request to vanish of somebody who may not publish here otherwise.
const MAX_VANISH_ONLY_BYTES: usize = 1_024;

/// What entitles the connection to publish an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteGrant {
    /// Its author, or who authenticated on the connection, may publish here.
    Full,
    /// Only the right to vanish (NIP-62): the request is fulfilled, but not broadcast.
    VanishOnly,
}

impl<S: Sql> Relay<S> {
    /// Verifies a message that came as text, if it is authorized and within the rates; answers it otherwise. Comes with
    /// the precheck of an event.
    pub(super) fn authorize(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: ClientMessage,
        prescreened: Prescreened,
        effects: &mut Vec<Effect>,
    ) -> Option<(Checked, Option<Precheck>)> {
        let mut precheck = None;
        if let ClientMessage::Event(event) = &message
            && let Err(reason) = self.may_write(connection, event)
        {
            self.refuse(connection, event, Outcome::Refused(reason), effects);
            return None;
        }
        if prescreened == Prescreened::Nothing
            && let Err(reason) = self.within_rates(now, connection, &message)
        {
            return Some((Checked::Refused(validate::refuse(message, reason)), None));
        }
        // The database is asked only within the rate: also to find out that nothing is to be stored has its price.
        if let ClientMessage::Event(event) = &message {
            let known = match prescreened {
                Prescreened::Fresh { changes } if changes == self.changes => {
                    Ok(Some(self.store.precheck_fresh(now, event)))
                }
                _ => self.precheck_unless_refused(now, event, effects),
            };
            match known {
                Ok(known) => precheck = known,
                Err(outcome) => {
                    self.refuse(connection, event, outcome, effects);
                    return None;
                }
            }
        }
        Some((validate::verify(message), precheck))
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

    /// The precheck of an event, unless the store would refuse it.
    fn precheck_unless_refused(
        &self,
        now: Timestamp,
        event: &Event,
        effects: &mut Vec<Effect>,
    ) -> Result<Option<Precheck>, Outcome> {
        let precheck = self.precheck(now, event).map_err(|error| {
            effects.push(Effect::Failed(error));
            Outcome::Refused(crate::reason::storage_failed())
        })?;
        match precheck.as_ref().and_then(Precheck::refusal) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(precheck),
        }
    }

    /// Answers an event that is refused.
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
    pub(super) fn may_write(&self, connection: ConnectionId, event: &Event) -> Result<WriteGrant, Reason> {
        if event.kind == AUTHENTICATION {
            return Err(Reason::invalid("an event of kind 22242 is sent with AUTH (NIP-42)"));
        }
        let Some(session) = self.sessions.get(&connection) else {
            return Err(crate::reason::storage_failed());
        };
        let grant = match self.may_post(session, event) {
            Ok(()) => WriteGrant::Full,
            Err(reason) => self.grant_to_vanish(connection, event, reason)?,
        };
        protected::admit(event, session)?;
        Ok(grant)
    }

    fn may_post(&self, session: &ClientSession, event: &Event) -> Result<(), Reason> {
        self.rules.lists.admit(event)?;
        if self.config.access.auth_to_write && session.authenticated().is_empty() {
            return Err(Reason::auth_required(
                "this relay takes events only from those who identify themselves",
            ));
        }
        self.rules.lists.admit_writer(event, session.authenticated())
    }

    /// NIP-62: relays "that restrict who can post MUST also follow the request to vanish regardless of the user's
    /// status". It is a right to be forgotten, not one to be read: what is said beside the request must be short.
    fn grant_to_vanish(
        &self,
        connection: ConnectionId,
        event: &Event,
        refusal: Reason,
    ) -> Result<WriteGrant, Reason> {
        if event.kind != VANISH || !self.is_to_vanish_here(Some(connection), event) {
            return Err(refusal);
        }
        // A text stands in quotes, a comma behind it.
        let texts = event.tags.iter().flatten().chain([&event.content]);
        let length = texts.fold(0_usize, |sum, text| sum.saturating_add(text.len()).saturating_add(3));
        if length > MAX_VANISH_ONLY_BYTES {
            return Err(Reason::invalid(format!(
                "the request to vanish of somebody who may not write here can have {MAX_VANISH_ONLY_BYTES} bytes of content and tags"
            )));
        }
        Ok(WriteGrant::VanishOnly)
    }

    /// Asks the deployment's policy, if there is one, about an event that is not stored yet.
    pub(super) fn ask_policy(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        is_new: bool,
        effects: &mut Vec<Effect>,
    ) -> Result<WriteGrant, Outcome> {
        let Some(policy) = &self.config.admission.policy else { return Ok(WriteGrant::Full) };
        if !is_new {
            self.precheck_unless_refused(now, event, effects)?;
        }
        let Some(session) = self.sessions.get(&connection) else {
            return Err(Outcome::Refused(crate::reason::storage_failed()));
        };
        let (address, authenticated) = (session.address(), session.authenticated());
        match policy::ask(&**policy, &Submission { event, address, authenticated, now }) {
            Ok(()) => Ok(WriteGrant::Full),
            Err(reason) => self.grant_to_vanish(connection, event, reason).map_err(Outcome::Refused),
        }
    }
}
