//! `AUTH`: authentication of clients (NIP-42).

use openagents_host::{Timestamp, VerifiedEvent};

use super::SessionEngine;
use crate::engine::{Effect, answer};
use crate::reason::{Outcome, Prefix, Reason};
use crate::session::{ClientSession, ConnectionId};
use openagents_host::nostr::message::RelayMessage;

/// How many public keys can authenticate on one connection.
const MAX_IDENTITIES: usize = 16;

impl SessionEngine {
    /// Records the author of the event as authenticated, if the event proves it.
    pub(in crate::engine) fn authenticate(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        event: &VerifiedEvent,
        effects: &mut Vec<Effect>,
    ) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let identified = self.config.access.authenticates(now, session, event).and_then(|()| {
            if session.authenticate(event.pubkey, MAX_IDENTITIES) {
                Ok(())
            } else {
                Err(Reason::restricted(format!(
                    "a connection can authenticate as at most {MAX_IDENTITIES} public keys"
                )))
            }
        });
        let outcome = match identified {
            Ok(()) => {
                effects.push(Effect::SessionChanged(connection));
                Outcome::Accepted
            }
            Err(reason) => Outcome::Refused(reason),
        };
        effects.push(answer(connection, event.id, outcome));
    }

    /// Sends the challenge before a refusal that requires authentication, unless that was done when the connection was
    /// opened.
    pub(super) fn challenge_for(
        &mut self,
        connection: ConnectionId,
        reason: &Reason,
        effects: &mut Vec<Effect>,
    ) {
        if reason.prefix == Prefix::AuthRequired {
            self.challenge(connection, effects);
        }
    }

    /// Sends a client its challenge, unless it has been sent before.
    pub(super) fn challenge(&mut self, connection: ConnectionId, effects: &mut Vec<Effect>) {
        let challenge = self.sessions.get_mut(&connection).and_then(ClientSession::challenge_once);
        if let Some(challenge) = challenge {
            effects.push(Effect::Send { connection, message: RelayMessage::Auth(challenge) });
            effects.push(Effect::SessionChanged(connection));
        }
    }
}
