//! The gate: checks of a message that need only the connection, before it is passed to the engine. Form, limits, lists
//! and rates, in this order; then id and signature on hosts with many threads.
//!
//! Checks that depend on the session (authentication, protected events, the right to vanish) are done once, by the
//! engine; before the signature check, if the engine thread does that too.

use std::ops::Deref;

use openagents_host::{Event, Kind, Timestamp, VerifiedEvent};

use super::Activity;
use crate::limits::Limits;
use crate::reason::{Outcome, Reason};
use crate::validate;
use openagents_host::nostr::message::{ClientMessage, RelayMessage};

/// A message that has passed the gate. It cannot be created in any other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted<M>(M);

/// A client's message after the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmittedMessage {
    /// Its event has a valid id and signature.
    Verified(Admitted<ClientMessage<VerifiedEvent>>),
    /// The engine must verify its event if it would store it; on hosts with one thread.
    Unverified {
        /// The message.
        message: Admitted<ClientMessage>,
        /// Whether its event is unknown to the store, set by [`Engine::prepare`](openagents_host::Engine::prepare).
        freshness: Freshness,
    },
    /// An event that was verified together with others by [`Engine::prepare`](openagents_host::Engine::prepare).
    Prepared {
        /// The event.
        event: Admitted<VerifiedEvent>,
        /// Whether it is unknown to the store.
        freshness: Freshness,
    },
    /// It did not pass; contains the answer.
    Refused(RelayMessage),
}

/// Whether the event of a message was unknown to the store, and after how many invalidating changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness(pub(crate) Option<u64>);

/// Parses a text and passes it through the gate.
///
/// `lists` decides whether events of this kind, id and author are accepted, `rates` counts the client's activity. A
/// request to vanish passes the lists, because its author may have a right to that (NIP-62), which the engine checks.
///
/// # Errors
/// The answer to a message that does not pass.
pub fn admit(
    text: &str,
    limits: &Limits,
    now: Timestamp,
    lists: impl FnOnce(&Event) -> Result<(), Reason>,
    rates: impl FnOnce(Activity) -> Result<(), Reason>,
) -> Result<Admitted<ClientMessage>, RelayMessage> {
    let message = validate::read(text, limits, now)?;
    let listed = match &message {
        ClientMessage::Event(event) if event.kind != Kind::VANISH => lists(event),
        _ => Ok(()),
    };
    match listed.and_then(|()| Activity::of(&message).map_or(Ok(()), rates)) {
        Ok(()) => Ok(Admitted(message)),
        Err(reason) => Err(validate::refuse(message, reason)),
    }
}

impl<M> Admitted<M> {
    /// The message.
    pub(crate) fn into_message(self) -> M {
        self.0
    }
}

impl<M> Deref for Admitted<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0
    }
}

impl Admitted<ClientMessage> {
    /// Verifies the event, which is the expensive check.
    ///
    /// # Errors
    /// The answer to an event whose id or signature is wrong.
    pub fn verify(self) -> Result<Admitted<ClientMessage<VerifiedEvent>>, RelayMessage> {
        validate::verify(self.0).map(Admitted)
    }
}

impl AdmittedMessage {
    /// A message whose event the engine must verify.
    pub(crate) const fn unverified(message: Admitted<ClientMessage>) -> Self {
        Self::Unverified { message, freshness: Freshness(None) }
    }

    /// The same message after verification.
    #[must_use]
    pub fn verify(self) -> Self {
        match self {
            Self::Unverified { message, .. } => message.verify().map_or_else(Self::Refused, Self::Verified),
            message => message,
        }
    }

    /// The event of a message that is not verified yet.
    pub(crate) fn unverified_event(&self) -> Option<&Event> {
        match self {
            Self::Unverified { message, .. } => match &**message {
                ClientMessage::Event(event) => Some(event),
                _ => None,
            },
            _ => None,
        }
    }

    /// Verifies the events of messages together, for a gate that does that itself. Each of these is then
    /// [verified](Self::Verified) or refused.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn verify_together(messages: Vec<&mut Self>) {
        Self::replace_unverified(messages, |event, _| Self::Verified(Admitted(ClientMessage::Event(event))));
    }

    /// The same for the engine: each is then [prepared](Self::Prepared) or refused.
    pub(crate) fn prepare_together(messages: Vec<&mut Self>) {
        Self::replace_unverified(messages, |event, freshness| Self::Prepared {
            event: Admitted(event),
            freshness,
        });
    }

    /// Verifies events together and puts what `passed` makes of them in the places of their messages, or a refusal.
    fn replace_unverified(messages: Vec<&mut Self>, passed: impl Fn(VerifiedEvent, Freshness) -> Self) {
        let take = |message: &mut Self| match std::mem::replace(message, Self::notice(&Reason::invalid(""))) {
            Self::Unverified { message: Admitted(ClientMessage::Event(event)), freshness } => {
                Some((event, freshness))
            }
            other => {
                *message = other;
                None
            }
        };
        let (mut taken, mut events, mut freshness) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            if let Some((event, fresh)) = take(message) {
                taken.push((message, event.id));
                events.push(event);
                freshness.push(fresh);
            }
        }
        for (((message, id), outcome), freshness) in
            taken.into_iter().zip(Event::verify_all(events)).zip(freshness)
        {
            *message = match outcome {
                Ok(event) => passed(event, freshness),
                Err(error) => Self::Refused(validate::forged(id, &error)),
            };
        }
    }

    /// The answer that refuses a message for this reason; if it was refused before, for that one. Only hosts that let the
    /// engine verify events refuse messages after the gate.
    pub(crate) fn into_refusal(self, reason: Reason) -> RelayMessage {
        match self {
            Self::Verified(_) => RelayMessage::Notice(reason.to_string().into()),
            Self::Prepared { event, .. } => {
                RelayMessage::Ok { id: event.id, outcome: Outcome::Refused(reason) }
            }
            Self::Unverified { message, .. } => validate::refuse(message.0, reason),
            Self::Refused(answer) => answer,
        }
    }

    /// The answer to a binary message. Messages are JSON text (NIP-01).
    #[must_use]
    pub fn binary() -> Self {
        Self::notice(&Reason::invalid("messages are JSON text, not binary"))
    }

    /// A refusal of a message that has no event and no subscription id.
    pub(crate) fn notice(reason: &Reason) -> Self {
        Self::Refused(RelayMessage::Notice(reason.to_string().into()))
    }
}
