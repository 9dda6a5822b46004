//! The replies to [`StateQuery`](super::StateQuery). As JSON they are what `/agent/{npub}/…` and `/metrics` answer with.

use openagents_host::{EventId, Kind, PublicKey, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::engine::job_state::JobState;

/// The reply of the agent's database to something else than was asked.
#[derive(Debug, thiserror::Error)]
#[error("the agent's database answered another question")]
pub(crate) struct WrongReply;

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident($type:ty),)+) => {
        /// What the agent's database replies.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub(crate) enum StateReply {
            $($(#[$doc])* $name($type),)+
        }

        $(impl TryFrom<StateReply> for $type {
            type Error = WrongReply;

            fn try_from(reply: StateReply) -> Result<Self, WrongReply> {
                if let StateReply::$name(reply) = reply { Ok(reply) } else { Err(WrongReply) }
            }
        })+
    };
}

replies! {
    /// A value in memory or the agent's struct; null when there is none.
    Json(Value),
    /// Keys in memory.
    Keys(Vec<String>),
    /// Rows of the author's own tables.
    Rows(Vec<Vec<Value>>),
    /// A conversation, oldest turn first.
    Turns(Vec<SessionTurn>),
    /// Conversations, the last one to speak first.
    Sessions(Vec<SessionSummary>),
    /// Jobs, the newest first.
    History(Vec<JobSummary>),
    /// A job, if it is on record.
    Job(Option<JobDetails>),
    /// What came of the jobs, and what is under way.
    Metrics(AgentMetrics),
    /// How much is under way.
    Load(Workload),
    /// A value in memory, if there is one.
    MemoryValue(Option<MemoryValue>),
    /// Keys in memory with the sizes of their values.
    MemoryKeys(Vec<MemoryKey>),
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct JobSummary {
    /// Its place in the order of arrival.
    pub(crate) seq: u64,
    /// The id of its request.
    pub(crate) id: EventId,
    /// The kind of its request.
    pub(crate) kind: Kind,
    pub(crate) customer: PublicKey,
    pub(crate) state: JobState,
    /// How many attempts were begun.
    pub(crate) attempt: u32,
    /// What it costs, once that is known.
    pub(crate) price_msat: Option<u64>,
    /// The external relay that the request came from.
    pub(crate) source: Option<String>,
    pub(crate) received_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

/// A job with its request and the event that ended it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct JobDetails {
    #[serde(flatten)]
    pub(crate) summary: JobSummary,
    /// The request, an event.
    pub(crate) request: Value,
    /// The event that ended it; null before.
    pub(crate) answer: Value,
}

/// A conversation in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct SessionSummary {
    pub(crate) customer: PublicKey,
    /// The customer's key once more (NIP-19).
    pub(crate) npub: String,
    /// How many turns are kept.
    pub(crate) turns: u64,
    /// When the last one was said.
    pub(crate) last_at: Timestamp,
}

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct SessionTurn {
    pub(crate) role: String,
    pub(crate) text: String,
    pub(crate) said_at: Timestamp,
}

/// A value in memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct MemoryValue {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) written_at: Timestamp,
}

/// A key in memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct MemoryKey {
    pub(crate) key: String,
    /// The length of its value as JSON.
    pub(crate) characters: u64,
    pub(crate) written_at: Timestamp,
}

/// What came of an agent's jobs, and what is under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct AgentMetrics {
    pub(crate) ended: Vec<EndedJobs>,
    /// How many jobs are on record and not at their end.
    pub(crate) unfinished: u64,
    /// How many handlers, schedules and hooks run.
    pub(crate) running: usize,
    /// How many events no relay has confirmed yet.
    pub(crate) outbox: u64,
}

/// The jobs of one kind that ended in one state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct EndedJobs {
    /// The kind of their requests.
    pub(crate) kind: Kind,
    pub(crate) state: JobState,
    /// How many they are.
    pub(crate) jobs: u64,
    /// From the arrival of the requests to their answers, in milliseconds.
    pub(crate) elapsed_ms: u64,
    /// What was paid for them, in millisatoshi.
    pub(crate) msat: u64,
}

/// How much is under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Workload {
    /// How many jobs are on record and not at their end.
    pub(crate) unfinished: u64,
    /// How many handlers, schedules and hooks run.
    pub(crate) running: usize,
}
