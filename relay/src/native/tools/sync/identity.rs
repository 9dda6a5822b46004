//! Authentication with the remote relay (NIP-42).

use openagents_host::nostr::keys::npub;
use openagents_host::nostr::message::RelayMessage;
use openagents_host::nostr::reason::Outcome;
use openagents_host::{EventId, Keys, Timestamp, UnsignedEvent};

use crate::admission::access::AUTHENTICATION;

/// The prefix of a refusal that may be lifted by authenticating.
pub(super) const AUTH_REQUIRED: &str = "auth-required:";

/// A key to authenticate with, and the state of authentication.
pub(super) struct Identity {
    keys: Keys,
    /// The URL by which the remote relay is known here.
    url: String,
    state: AuthState,
}

enum AuthState {
    /// The relay has sent no challenge.
    NoChallenge,
    /// The challenge was answered by this event, which the relay has not acknowledged yet.
    Answered(EventId),
    Accepted,
    Refused(String),
}

impl Identity {
    pub(super) fn new(keys: Keys, url: &str) -> Self {
        Self { keys, url: url.to_owned(), state: AuthState::NoChallenge }
    }

    /// The public key as an npub.
    pub(super) fn npub(&self) -> String {
        npub(&self.keys.public_key())
    }

    pub(super) const fn is_accepted(&self) -> bool {
        matches!(self.state, AuthState::Accepted)
    }

    /// The relay's decision, with the reason if it refused; `None` if there is no decision yet.
    pub(super) fn verdict(&self) -> Option<Result<(), &str>> {
        match &self.state {
            AuthState::NoChallenge | AuthState::Answered(_) => None,
            AuthState::Accepted => Some(Ok(())),
            AuthState::Refused(reason) => Some(Err(reason)),
        }
    }

    /// Handles a message of the relay, and answers its challenge. A later challenge replaces an earlier one.
    pub(super) fn handle_message(&mut self, message: &RelayMessage, now: Timestamp) -> Option<String> {
        match message {
            RelayMessage::Auth(challenge) => {
                let event = UnsignedEvent::new(AUTHENTICATION, "")
                    .tag(["relay", &self.url])
                    .tag(["challenge", &**challenge])
                    .sign(&self.keys, now);
                self.state = AuthState::Answered(event.id);
                return Some(format!(r#"["AUTH",{}]"#, event.json()));
            }
            RelayMessage::Ok { id, outcome } if self.is_awaiting(id) => {
                self.state = match outcome {
                    Outcome::Refused(reason) => AuthState::Refused(reason.to_string()),
                    Outcome::Accepted | Outcome::Duplicate => AuthState::Accepted,
                };
            }
            _ => {}
        }
        None
    }

    fn is_awaiting(&self, id: &EventId) -> bool {
        matches!(&self.state, AuthState::Answered(said) if said == id)
    }
}
