//! Types that the engine shares with its hosts and with handlers: runs, outcomes, reports, deliveries.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::nostr::reason::Reason;
use openagents_host::port::call_batch::{MAX_BYTES, MAX_EVENTS};
use openagents_host::{BlobHash, EventId, Kind, PublicKey, Timestamp, UnsignedEvent, VerifiedEvent};
use serde::{Deserialize, Serialize};

use super::output::Output;
use crate::route::RouteResponse;

/// The largest event that the engine accepts or publishes, in bytes. It fits a database row on every host.
pub(super) const MAX_EVENT_BYTES: usize = 1_500_000;

/// The longest output that is accepted as an input, in bytes, since all inputs of a job are in memory together.
pub(crate) const MAX_OUTPUT: usize = 1_000_000;

/// The right to do one attempt of a run. A later attempt has another lease, so an outcome that arrives too late is
/// recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
}

/// What a run is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunId {
    /// The job with this request id.
    Job(EventId),
    /// The schedule with this index.
    Schedule(usize),
    /// The run of a `#[schedule(once)]` function with this number.
    Scheduled(u64),
    /// The answer to the HTTP request with this ticket.
    Route(u64),
    /// The received event with this number.
    Event(u64),
    /// A lifecycle hook.
    Hook(Hook),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunOutcome {
    Done(Output),
    /// The message is sent to the customer, unless another attempt follows.
    Failed {
        message: String,
        retryable: bool,
        /// The pause before the next attempt, in place of a growing one.
        pause: Option<Duration>,
    },
}

/// Why a request has no price. The text is for the customer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuoteError {
    /// The price function returned this error.
    #[error("{0}")]
    Refused(String),
    #[error("the agent could not find a price for this job")]
    Panicked,
    #[error("the agent cannot read its state")]
    UnreadableState,
}

/// What a handler reports while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// A text about its progress.
    Progress(String),
    /// The whole output so far.
    Partial(String),
}

/// The result of delivering an event to a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The relay has stored the event.
    Accepted,
    /// The relay rejected the event for good.
    Refused(String),
    /// The relay rejected the event for now, as with `rate-limited:` (NIP-01). It is sent again.
    Postponed(String),
    /// The relay could not be reached.
    Unreachable(String),
    /// The customer reads from these relays (NIP-65); the event goes there.
    ReadFrom(Vec<String>),
}

impl Delivery {
    /// The delivery of an event that its relay has rejected for this reason.
    pub(crate) fn refused(reason: &Reason) -> Self {
        let text = reason.to_string();
        if reason.prefix.is_temporary() { Self::Postponed(text) } else { Self::Refused(text) }
    }
}

/// What the engine did with an incoming event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestAdmission {
    /// The job was stored and is processed.
    Queued,
    /// The request is known already.
    Duplicate,
    /// The job was stored and refused with a reason.
    Rejected,
    /// The event is a cancellation.
    Cancellation,
    /// The event is a request to vanish (NIP-62).
    Vanished,
    /// The event is for an `#[event]` function, and is stored.
    Received,
    /// The event is for an `#[event]` function, but too many wait.
    NoRoom,
    /// The request names other providers, has no handler here, or cannot be decrypted.
    NotOurs,
}

impl fmt::Display for RequestAdmission {
    /// For the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "the job is queued",
            Self::Duplicate => "the request was known",
            Self::Rejected => "the job is refused",
            Self::Cancellation => "a cancellation",
            Self::Vanished => "the customer is forgotten",
            Self::Received => "the event is queued",
            Self::NoRoom => "too many events wait, so it is dropped",
            Self::NotOurs => "not for this agent",
        })
    }
}

/// A lifecycle hook of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    Create,
    Wake,
    Sleep,
    Error,
}

impl Hook {
    pub(crate) const ALL: [Self; 4] = [Self::Create, Self::Wake, Self::Sleep, Self::Error];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "on_create",
            Self::Wake => "on_wake",
            Self::Sleep => "on_sleep",
            Self::Error => "on_error",
        }
    }
}

/// A job that failed for good, as passed to `on_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFailure {
    /// The id of the job request.
    pub request: EventId,
    /// The kind of the job request.
    pub kind: Kind,
    /// The customer's public key.
    pub customer: PublicKey,
    /// The error message that the customer got.
    pub message: String,
}

/// The output of another job that is an input of this one (NIP-90, job chaining).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobOutput {
    /// The id in the `job` input: that job's request or result.
    pub(crate) event: EventId,
    pub(crate) content: String,
}

/// A blob that an input of a job names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedBlob {
    pub(crate) hash: BlobHash,
    /// The URL that names it.
    pub(crate) url: String,
    /// Whether it is also looked for at the URL.
    pub(crate) tries_url: bool,
}

/// The changes that a run made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// The state after an exclusive run, as JSON.
    pub(crate) state: Option<String>,
    /// Written values by key; `None` for a removed one.
    pub(crate) memory: BTreeMap<String, Option<String>>,
    pub(crate) turns: Vec<NewTurn>,
    pub(crate) events: Vec<Publication>,
    /// In this order.
    pub(crate) schedules: Vec<ScheduleChange>,
    /// The text that is sent to the author of a direct message.
    pub(crate) reply: Option<String>,
    /// The response of a route, which is sent once all this is stored.
    pub(crate) response: Option<Box<RouteResponse>>,
}

/// Schedules or cancels a run of a `#[schedule(once)]` function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScheduleChange {
    /// The name of the function.
    pub(crate) function: String,
    /// Which of its runs.
    pub(crate) key: String,
    /// When, and its payload as JSON; `None` cancels it.
    pub(crate) run: Option<(Timestamp, String)>,
}

/// An event that a run publishes.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) event: EventToPublish,
    pub(crate) to: Destination,
}

/// An event to publish: signed with the agent's key when the run has succeeded, or signed already.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventToPublish {
    /// To be signed with the agent's key.
    Unsigned(UnsignedEvent),
    /// Published as it is.
    Signed(VerifiedEvent),
}

impl From<UnsignedEvent> for EventToPublish {
    fn from(event: UnsignedEvent) -> Self {
        Self::Unsigned(event)
    }
}

impl From<VerifiedEvent> for EventToPublish {
    fn from(event: VerifiedEvent) -> Self {
        Self::Signed(event)
    }
}

/// A new turn of the conversation with a customer.
#[derive(Clone, Debug)]
pub(crate) struct NewTurn {
    pub(crate) customer: PublicKey,
    pub(crate) turn: Turn,
}

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The speaker: `user`, `assistant`, or another role that the author chose.
    pub role: String,
    /// The text of the turn.
    pub text: String,
}

/// A version of the agent's state. A higher version is later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateSnapshot {
    pub(crate) version: u64,
    /// The `state_version` with which it was stored.
    pub(crate) form: u32,
    /// `None` before the first exclusive run; the agent is then its `Default`.
    pub(crate) json: Option<Arc<str>>,
}

/// The result of polling a relay.
#[derive(Clone, Debug)]
pub(crate) struct RelayPoll {
    /// When the poll began: it covers everything the relay had by then.
    pub(crate) until: Timestamp,
    /// The job requests and deletion requests that it found.
    pub(crate) events: Vec<VerifiedEvent>,
    /// The second up to which there are more, if there may be: they were too many for one poll.
    pub(crate) rest: Option<u64>,
}

/// The relays that an event goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Destination {
    /// The agent's own relay, which gets every event.
    Own,
    /// An external relay, by its URL.
    Relay(String),
    /// The relays that a customer reads from (NIP-65), according to the agent's own relay or `source`.
    ReadBy { customer: PublicKey, source: String },
    /// The relays at which somebody expects direct messages (kind 10050, NIP-17), according to the agent's own relay, or
    /// else that relay.
    Inbox { receiver: PublicKey },
}

/// How many events may be in flight. External hosts that have not accepted an event lately may be silent, and keep an
/// event for as long as the time limit; they have places of their own, and so has each customer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryLimits {
    /// To the agent's own relay.
    pub(crate) own: usize,
    /// The length of these together, in bytes. One event alone may be longer.
    pub(crate) own_bytes: u64,
    /// To external relays.
    pub(crate) external: usize,
    /// To one external host, whatever the URLs.
    pub(crate) host: usize,
    /// To external hosts that have not accepted an event lately.
    pub(crate) unproven: usize,
    /// Of these, for one customer.
    pub(crate) unproven_of_customer: usize,
}

impl Default for DeliveryLimits {
    fn default() -> Self {
        Self {
            own: 256,
            own_bytes: 16 * 1024 * 1024,
            external: 64,
            host: 8,
            unproven: 48,
            unproven_of_customer: 12,
        }
    }
}

impl DeliveryLimits {
    /// For a Worker, which sends what is in flight to its own relay together, has little memory, and may have six open
    /// connections, some of which it needs for other work.
    #[cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "for Workers, and tests"))]
    pub(crate) const WORKER: Self = Self {
        own: MAX_EVENTS,
        own_bytes: MAX_BYTES as u64,
        external: 3,
        host: 1,
        unproven: 2,
        unproven_of_customer: 1,
    };
}
