//! The event that authorizes a management call (NIP-98). Each can authorize only one change.

use openagents_host::nostr::http_auth::TIME_WINDOW;
use openagents_host::{Event, EventId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Call;

/// The event by which an operator authorized one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The event's id.
    pub id: EventId,
    /// Its `created_at`, in seconds since the Unix epoch.
    pub created_at: u64,
}

impl Token {
    /// The token of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        Self { id: event.id, created_at: event.created_at }
    }

    /// How long it must be remembered: until no HTTP route accepts it any more, and twice that time, because the clock
    /// of the route may differ from that of the database.
    #[must_use]
    pub const fn remembered_until(self) -> Timestamp {
        Timestamp::from_seconds(self.created_at.saturating_add(TIME_WINDOW).saturating_add(TIME_WINDOW))
    }
}

/// A management call and the token that authorizes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCall {
    /// The token. The caller has checked its time, URL, body hash, signature and signer.
    pub token: Token,
    /// The call.
    pub call: Call,
}

/// The token was used before, so the call was not carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("this event was used already; sign a new one for each change")]
pub struct UsedToken;
