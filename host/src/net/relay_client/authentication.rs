//! Authentication of a relay client (NIP-42): answers the relay's challenge when the relay requires it.

use std::sync::Arc;
use std::time::Duration;

use crate::nostr::message::{ClientMessage, RelayMessage};
use crate::nostr::reason::{Outcome, Prefix, Reason};
use crate::nostr::{EventId, Keys, Kind, UnsignedEvent};
use crate::time::Timestamp;
use url::Url;

/// How often a client authenticates on one connection: a relay may replace its challenge, but not without end.
const MAX_ATTEMPTS: u32 = 3;

/// The most bytes of a challenge, which is signed and sent back.
const MAX_CHALLENGE_BYTES: usize = 1_024;

/// The key with which a client authenticates on a connection, and how far that has come.
#[derive(Debug)]
pub(super) struct Authentication {
    keys: Keys,
    /// The address to which the client has connected, for the `relay` tag.
    url: String,
    /// The relay's latest challenge, until it is answered.
    challenge: Option<Arc<str>>,
    state: AuthenticationState,
    attempts: u32,
    accepted: u32,
}

#[derive(Debug)]
enum AuthenticationState {
    /// The relay has not required it.
    NotRequired,
    /// The relay requires it, but has sent no challenge.
    WithoutChallenge {
        until: Timestamp,
    },
    /// This event was sent, and the relay has not answered.
    Sent {
        event: EventId,
        until: Timestamp,
    },
    Accepted,
    Refused(Reason),
}

impl Authentication {
    pub(super) fn new(keys: Keys, url: &str) -> Self {
        Self {
            keys,
            url: relay_tag(url),
            challenge: None,
            state: AuthenticationState::NotRequired,
            attempts: 0,
            accepted: 0,
        }
    }

    /// How often the relay has accepted an authentication on this connection. What it refused with `auth-required:`
    /// may be repeated if this has grown since it was sent.
    pub(super) const fn accepted(&self) -> u32 {
        self.accepted
    }

    /// When the relay's challenge or answer must have arrived; `None` if neither is awaited.
    pub(super) const fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            AuthenticationState::WithoutChallenge { until } | AuthenticationState::Sent { until, .. } => {
                Some(until)
            }
            _ => None,
        }
    }

    /// Authenticates as soon as possible, because the relay has refused something with `auth-required:`. Returns the
    /// message to send, if there is one. Nothing happens if the relay's last challenge was answered before.
    pub(super) fn require(&mut self, now: Timestamp, patience: Duration) -> Option<String> {
        let until = now + patience;
        match self.state {
            AuthenticationState::WithoutChallenge { .. } | AuthenticationState::Sent { .. } => None,
            AuthenticationState::NotRequired if self.challenge.is_none() => {
                self.state = AuthenticationState::WithoutChallenge { until };
                None
            }
            _ => self.answer(now, until),
        }
    }

    /// Handles a message of the relay. Returns the message to send, if there is one.
    pub(super) fn handle(
        &mut self,
        message: &RelayMessage,
        now: Timestamp,
        patience: Duration,
    ) -> Option<String> {
        match (message, &self.state) {
            (RelayMessage::Auth(challenge), state) => {
                if challenge.is_empty() || challenge.len() > MAX_CHALLENGE_BYTES {
                    return None;
                }
                let is_awaited = matches!(state, AuthenticationState::WithoutChallenge { .. });
                self.challenge = Some(Arc::clone(challenge));
                if is_awaited { self.answer(now, now + patience) } else { None }
            }
            (RelayMessage::Ok { id, outcome }, AuthenticationState::Sent { event, .. }) if id == event => {
                match outcome {
                    Outcome::Accepted | Outcome::Duplicate => {
                        self.accepted = self.accepted.saturating_add(1);
                        self.state = AuthenticationState::Accepted;
                        None
                    }
                    Outcome::Refused(reason) => {
                        self.state = AuthenticationState::Refused(reason.clone());
                        // The relay may have replaced the challenge meanwhile.
                        self.answer(now, now + patience)
                    }
                }
            }
            _ => None,
        }
    }

    /// Stops waiting if the deadline is over. Returns whether it was.
    pub(super) fn end_if_overdue(&mut self, now: Timestamp) -> bool {
        if self.deadline().is_none_or(|until| now < until) {
            return false;
        }
        let missing = match self.state {
            AuthenticationState::WithoutChallenge { .. } => "the relay sent no challenge",
            _ => "the relay did not answer",
        };
        self.state = AuthenticationState::Refused(Reason::new(Prefix::Other, missing));
        true
    }

    /// The reason why something stays refused that was refused with `auth-required:`.
    pub(super) fn explain(&self, refusal: Reason) -> Reason {
        match &self.state {
            // The relay knows this key, and it is not permitted.
            AuthenticationState::Refused(reason) if reason.prefix == Prefix::Restricted => reason.clone(),
            AuthenticationState::Refused(reason) => {
                Reason::auth_required(format!("{}; authentication failed: {reason}", refusal.text))
            }
            _ => refusal,
        }
    }

    /// Answers the challenge, if there is one that was not answered.
    fn answer(&mut self, now: Timestamp, until: Timestamp) -> Option<String> {
        if self.attempts >= MAX_ATTEMPTS {
            return None;
        }
        let challenge = self.challenge.take()?;
        self.attempts = self.attempts.saturating_add(1);
        let event = UnsignedEvent::new(Kind::AUTHENTICATION, "")
            .tag(["relay", &self.url])
            .tag(["challenge", &*challenge])
            .sign(&self.keys, now);
        self.state = AuthenticationState::Sent { event: event.id, until };
        Some(ClientMessage::Auth(event).to_json())
    }
}

/// The value of the `relay` tag for a relay at this address: the address as it was understood when connecting. Another
/// relay that passes on its challenge must not be able to read it as its own, as in `wss://a.example\@b.example`.
fn relay_tag(url: &str) -> String {
    let url = url.trim();
    match Url::parse(url) {
        Ok(parsed) if parsed.as_str().trim_end_matches('/') != url.trim_end_matches('/') => parsed.into(),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::relay_tag;

    #[test]
    fn the_relay_tag_names_the_relay_that_was_connected_to() {
        for (url, expected) in [
            ("wss://relay.example", "wss://relay.example"),
            (" wss://relay.example/nostr/ ", "wss://relay.example/nostr/"),
            ("wss://Relay.example:443", "wss://relay.example/"),
            ("wss://a.example\\@b.example/", "wss://a.example/@b.example/"),
            ("wss:/\t/a.example", "wss://a.example/"),
        ] {
            assert_eq!(relay_tag(url), expected);
        }
    }
}
