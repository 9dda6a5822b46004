//! Who may write an event: lists, authentication (NIP-42), protected events (NIP-70), the right to vanish (NIP-62).

use openagents_host::{Event, EventId, Kind, Timestamp, VerifiedEvent};

use super::SessionEngine;
use crate::admission::access::AUTHENTICATION;
use crate::admission::policy::{self, Submission};
use crate::admission::protected;
use crate::engine::{Effect, answer};
use crate::reason::{Outcome, Reason};
use crate::session::{ClientSession, ConnectionId};

/// The most bytes of content and tags in a request to vanish by an author who may not publish otherwise.
const MAX_VANISH_ONLY_BYTES: usize = 1_024;

/// What entitles the connection to publish an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum WriteGrant {
    /// The author, or a key authenticated on the connection, may publish.
    Full,
    /// Only the right to vanish (NIP-62): the request is carried out, but not broadcast.
    VanishOnly,
}

impl SessionEngine {
    /// Refuses an event.
    pub(in crate::engine) fn refuse(
        &mut self,
        connection: ConnectionId,
        id: EventId,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        if let Outcome::Refused(reason) = &outcome {
            self.challenge_for(connection, reason, effects);
        }
        effects.push(answer(connection, id, outcome));
    }

    /// Whether this connection may publish this event, as far as that is known before it is verified.
    pub(in crate::engine) fn authorize_write(
        &self,
        connection: ConnectionId,
        event: &Event,
    ) -> Result<WriteGrant, Reason> {
        if event.kind == AUTHENTICATION {
            return Err(Reason::invalid("an event of kind 22242 is sent with AUTH (NIP-42)"));
        }
        let Some(session) = self.sessions.get(&connection) else {
            return Err(crate::reason::storage_failed());
        };
        let grant = match self.may_publish(session, event) {
            Ok(()) => WriteGrant::Full,
            Err(reason) => self.grant_to_vanish(connection, event, reason)?,
        };
        protected::admit(event, session)?;
        Ok(grant)
    }

    fn may_publish(&self, session: &ClientSession, event: &Event) -> Result<(), Reason> {
        // The rules may have changed since the event passed the gate.
        self.rules.lists.admit(event)?;
        if self.config.access.auth_to_write && session.authenticated().is_empty() {
            return Err(Reason::auth_required("publishing to this relay requires authentication"));
        }
        self.rules.lists.admit_writer(event, session.authenticated())
    }

    /// NIP-62: relays "that restrict who can post MUST also follow the request to vanish regardless of the user's
    /// status". That is a right to be forgotten, not a way to publish, so the rest of the request must be short.
    fn grant_to_vanish(
        &self,
        connection: ConnectionId,
        event: &Event,
        refusal: Reason,
    ) -> Result<WriteGrant, Reason> {
        if event.kind != Kind::VANISH || !self.is_to_vanish_here(Some(connection), event) {
            return Err(refusal);
        }
        // Each string has two quotes and a comma.
        let texts = event.tags.iter().flatten().chain([&event.content]);
        let length = texts.fold(0_usize, |sum, text| sum.saturating_add(text.len()).saturating_add(3));
        if length > MAX_VANISH_ONLY_BYTES {
            return Err(Reason::invalid(format!(
                "a request to vanish by an author who may not publish here can have at most {MAX_VANISH_ONLY_BYTES} bytes of content and tags"
            )));
        }
        Ok(WriteGrant::VanishOnly)
    }

    /// Whether the deployment has a write policy.
    pub(in crate::engine) fn has_policy(&self) -> bool {
        self.config.admission.policy.is_some()
    }

    /// Calls the deployment's write policy, if there is one, for an event that the connection may otherwise publish.
    pub(in crate::engine) fn ask_policy(
        &self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
    ) -> Result<WriteGrant, Outcome> {
        let Some(policy) = &self.config.admission.policy else { return Ok(WriteGrant::Full) };
        let Some(session) = self.sessions.get(&connection) else {
            return Err(Outcome::Refused(crate::reason::storage_failed()));
        };
        let (address, authenticated) = (session.address(), session.authenticated());
        match policy::ask(&**policy, &Submission { event, address, authenticated, now }) {
            Ok(()) => Ok(WriteGrant::Full),
            Err(reason) => self.grant_to_vanish(connection, event, reason).map_err(Outcome::Refused),
        }
    }

    /// Whether a client may know that the store has this event: whether it may read it.
    pub(in crate::engine) fn may_know_of(&self, connection: ConnectionId, event: &Event) -> bool {
        self.sessions.get(&connection).is_some_and(|session| self.config.access.may_receive(session, event))
    }

    /// Whether a request to vanish is addressed to this relay (NIP-62).
    pub(in crate::engine) fn is_to_vanish_here(
        &self,
        connection: Option<ConnectionId>,
        request: &Event,
    ) -> bool {
        let session = connection.and_then(|connection| self.sessions.get(&connection));
        self.config.access.is_to_vanish_here(session, request)
    }
}
