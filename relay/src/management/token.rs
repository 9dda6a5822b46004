//! The event that authorizes a management call (NIP-98). Each changes something once.

use openagents_host::nostr::http_auth::TIME_WINDOW;
use openagents_host::{Event, EventId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Call;

/// The event by which an operator authorized one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The event's id.
    pub id: EventId,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: u64,
}

impl Token {
    /// The token that an event is.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self { id: event.id, created_at: event.created_at }
    }

    /// How long it has to be remembered: until no door takes it any more, and as long again, since the clock of the
    /// door is not that of the database.
    pub(crate) const fn remembered_until(self) -> Timestamp {
        Timestamp::from_seconds(self.created_at.saturating_add(TIME_WINDOW).saturating_add(TIME_WINDOW))
    }
}

/// A management call and the token that authorizes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCall {
    /// What was signed for it. Whoever hands this in has checked it: time, address, body, signature, and who signed.
    pub token: Token,
    /// The call.
    pub call: Call,
}

/// The token was used before. Nothing was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("this event was used already: sign a new one for each change")]
pub struct UsedToken;
