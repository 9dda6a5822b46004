//! Authentication with the other relay (NIP-42).

use openagents_host::nostr::keys::npub;
use openagents_host::nostr::message::RelayMessage;
use openagents_host::nostr::reason::Outcome;
use openagents_host::{EventId, Keys, Timestamp, UnsignedEvent};

use crate::admission::access::AUTHENTICATION;

/// What a refusal begins with that an identification may turn into an answer.
pub(super) const AUTH_REQUIRED: &str = "auth-required:";

/// A key, and what the relay has made of it.
pub(super) struct Identity {
    keys: Keys,
    /// Under which address the relay is known here.
    url: String,
    state: AuthState,
}

enum AuthState {
    /// The relay has not asked.
    Unasked,
    /// The event that was signed for it is not answered yet.
    Answered(EventId),
    Accepted,
    Refused(String),
}

impl Identity {
    pub(super) fn new(keys: Keys, url: &str) -> Self {
        Self { keys, url: url.to_owned(), state: AuthState::Unasked }
    }

    /// Who this is.
    pub(super) fn npub(&self) -> String {
        npub(&self.keys.public_key())
    }

    pub(super) const fn is_accepted(&self) -> bool {
        matches!(self.state, AuthState::Accepted)
    }

    /// What the relay has decided, or why not to accept it; nothing as long as it has not.
    pub(super) fn verdict(&self) -> Option<Result<(), &str>> {
        match &self.state {
            AuthState::Unasked | AuthState::Answered(_) => None,
            AuthState::Accepted => Some(Ok(())),
            AuthState::Refused(reason) => Some(Err(reason)),
        }
    }

    /// Takes notice of what a relay says, and answers its challenge. A later challenge takes the place of the one before.
    pub(super) fn hear(&mut self, message: &RelayMessage, now: Timestamp) -> Option<String> {
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
