//! The gate: what is decided about a message on its connection alone, before the engine gets it. Form, limits, lists and
//! rates, in this order; then id and signature on hosts with many threads.
//!
//! What depends on the session (authentication, protected events, the right to vanish) is decided by the engine, once,
//! and before the signature check where the engine's thread does that, too.

use std::ops::Deref;

use openagents_host::{Event, Kind, Timestamp, VerifiedEvent};

use super::Activity;
use crate::limits::Limits;
use crate::reason::Reason;
use crate::validate;
use openagents_host::nostr::message::{ClientMessage, RelayMessage};

/// A message that has passed the gate. Nothing else makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted<M>(M);

/// A client's message as the engine takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmittedMessage {
    /// The id and the signature of its event hold.
    Verified(Admitted<ClientMessage<VerifiedEvent>>),
    /// The engine is to verify its event, if it would store it: on hosts with one thread.
    Unverified {
        /// The message.
        message: Admitted<ClientMessage>,
        /// What the store was found not to know of it, by [`Engine::prepare`](openagents_host::Engine::prepare).
        freshness: Freshness,
    },
    /// It has not passed: this is the answer.
    Refused(RelayMessage),
}

/// Whether the event of a message was unknown to the store, and after how many changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freshness(pub(crate) Option<u64>);

/// Reads a text and passes it through the gate.
///
/// `lists` says whether an event of this kind, id and author is taken at all, `rates` counts what the client does. A
/// request to vanish passes the lists: who sends it may have a right to that (NIP-62), which the engine knows.
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
    /// Verifies the event, which is the expensive part.
    ///
    /// # Errors
    /// The answer to an event whose id or signature does not hold.
    pub fn verify(self) -> Result<Admitted<ClientMessage<VerifiedEvent>>, RelayMessage> {
        validate::verify(self.0).map(Admitted)
    }
}

impl AdmittedMessage {
    /// A message that the engine is to verify.
    pub(crate) const fn unverified(message: Admitted<ClientMessage>) -> Self {
        Self::Unverified { message, freshness: Freshness(None) }
    }

    /// The same message, verified here.
    #[must_use]
    pub fn verify(self) -> Self {
        match self {
            Self::Unverified { message, .. } => message.verify().map_or_else(Self::Refused, Self::Verified),
            message => message,
        }
    }

    /// The answer to a binary message. Messages are JSON text (NIP-01).
    #[must_use]
    pub fn binary() -> Self {
        Self::notice(&Reason::invalid("messages are JSON text, not binary"))
    }

    /// A refusal that no event and no subscription can be named in.
    pub(crate) fn notice(reason: &Reason) -> Self {
        Self::Refused(RelayMessage::Notice(reason.to_string().into()))
    }
}
