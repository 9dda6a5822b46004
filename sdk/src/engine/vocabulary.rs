//! The types that the engine shares with its hosts and with handlers: runs and their outcomes, reports, deliveries.

use std::collections::BTreeMap;
use std::sync::Arc;

use openagents_host::{EventId, Kind, PublicKey, Timestamp, UnsignedEvent, VerifiedEvent};
use serde::{Deserialize, Serialize};

use super::output::Output;

/// The largest event that the engine takes or publishes, in bytes: what fits a row on every host with room to spare.
pub(super) const MAX_EVENT_BYTES: usize = 1_500_000;

/// One run. A later attempt has another lease, so an outcome that comes too late finds its lease gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunId {
    /// The job of this request.
    Job(EventId),
    /// The schedule with this index.
    Schedule(usize),
    /// A turn of the agent's life.
    Hook(Hook),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunOutcome {
    Done(Output),
    /// The customer is told the message, unless another attempt follows.
    Failed {
        message: String,
        retryable: bool,
    },
}

/// Why a request has no price. The text is for its customer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuoteError {
    /// The handler's price function says no, with these words.
    #[error("{0}")]
    Refused(String),
    #[error("the agent could not find a price for this job")]
    Panicked,
    #[error("the agent cannot read its state")]
    UnreadableState,
}

/// What a handler says while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// How far it is.
    Progress(String),
    /// The output so far.
    Partial(String),
}

/// What became of an event on its way to a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The relay has it.
    Accepted,
    /// The relay will never take it.
    Refused(String),
    /// The relay could not be asked.
    Unreachable(String),
    /// The customer reads from these relays: it goes there.
    ReadFrom(Vec<String>),
}

/// An output of another job that a job waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WantedOutput {
    /// That job's request, or its result.
    pub(crate) event: EventId,
    /// Where it may be found.
    pub(crate) relays: Vec<String>,
}

/// What was made of an event that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestAdmission {
    /// The job is on record and goes on.
    Queued,
    /// It is on record already.
    Duplicate,
    /// It is on record, and was refused with a reason.
    Rejected,
    /// It was a cancellation.
    Cancellation,
    /// It names other providers, has no handler here, or cannot be read.
    NotOurs,
}

/// A turn of an agent's life.
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

/// A job that failed for good, as `on_error` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobFailure {
    /// Which request it was.
    pub request: EventId,
    /// The kind of request.
    pub kind: Kind,
    /// Who asked.
    pub customer: PublicKey,
    /// What the customer was told.
    pub message: String,
}

/// What another job produced, that this one builds upon (NIP-90, job chaining).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobOutput {
    /// What the request names: that job's request or its result.
    pub(crate) event: EventId,
    pub(crate) content: String,
}

/// What a run changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// What an exclusive run left of the state, as JSON.
    pub(crate) state: Option<String>,
    /// Values by their keys; nothing where one was removed.
    pub(crate) memory: BTreeMap<String, Option<String>>,
    pub(crate) turns: Vec<NewTurn>,
    pub(crate) events: Vec<UnsignedEvent>,
}

/// Something said in the conversation with a customer.
#[derive(Clone, Debug)]
pub(crate) struct NewTurn {
    pub(crate) customer: PublicKey,
    pub(crate) turn: Turn,
}

/// Something that was said in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Who said it: `user`, `assistant`, or another role of the author's.
    pub role: String,
    /// What was said.
    pub text: String,
}

/// The state at one moment. A higher version is later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StateSnapshot {
    pub(crate) version: u64,
    /// Which `state_version` of the agent stored it.
    pub(crate) form: u32,
    /// Nothing before the first exclusive run: then the agent is its `Default`.
    pub(crate) json: Option<Arc<str>>,
}

/// What a poll brought.
#[derive(Clone, Debug)]
pub(crate) struct RelayPoll {
    /// When it began: everything that the relay had by then was seen.
    pub(crate) until: Timestamp,
    /// The requests and deletions that were there.
    pub(crate) events: Vec<VerifiedEvent>,
}

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Destination {
    /// The agent's own relay, which gets every event.
    Own,
    /// Another relay, by its URL.
    Relay(String),
    /// The relays that a customer reads from (NIP-65), as they are known on the agent's own relay or on `source`.
    ReadBy { customer: PublicKey, source: String },
}
