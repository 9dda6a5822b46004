//! The replies to [`StateQuery`](super::StateQuery). Their JSON is the body of `/agent/{npub}/…` and `/metrics`.

use openagents_host::{EventId, Kind, PublicKey, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::engine::client_rates::ClientAdmission;
use crate::engine::job_state::JobState;
use crate::engine::state_change::ManualStateChange;

/// The reply does not belong to the query.
#[derive(Debug, thiserror::Error)]
#[error("the agent's database returned a reply of another type")]
pub(crate) struct WrongReply;

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident($type:ty),)+) => {
        /// A reply of the agent's database.
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
    /// A value in memory, or the agent's struct; null if there is none.
    Json(Value),
    /// Keys in memory.
    Keys(Vec<String>),
    /// Rows of the author's own tables.
    Rows(Vec<Vec<Value>>),
    /// A conversation, oldest turn first.
    Turns(Vec<SessionTurn>),
    /// Conversations, most recent first.
    Sessions(Vec<SessionSummary>),
    /// Jobs, newest first.
    History(Vec<JobSummary>),
    /// A job, if it exists.
    Job(Option<JobDetails>),
    /// Numbers of finished and unfinished jobs.
    Metrics(AgentMetrics),
    /// The amount of unfinished work.
    Load(Workload),
    /// A value in memory, if it exists.
    MemoryValue(Option<MemoryValue>),
    /// Keys in memory with the sizes of their values.
    MemoryKeys(Vec<MemoryKey>),
    /// The schedules and the scheduled runs, those that are due first at the beginning.
    Schedules(Vec<ScheduleSummary>),
    /// The ledger, newest first.
    Payments(Vec<PaymentMovement>),
    /// What became of an operator's wish to run a schedule now.
    ManualRun(ManualRun),
    /// What became of an operator's wish to change the state.
    StateChanged(ManualStateChange),
    /// Whether a client of the gateway may send a request.
    Admission(ClientAdmission),
    /// Yes or no.
    Answer(bool),
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct PaymentMovement {
    /// Its place in the ledger.
    pub(crate) seq: u64,
    pub(crate) noted_at: Timestamp,
    /// `received`, `returned`, `credited` or `spent`.
    pub(crate) movement: String,
    pub(crate) msat: u64,
    /// The id of the job's request.
    pub(crate) job: EventId,
    pub(crate) kind: Kind,
    /// `None` once the customer is forgotten.
    pub(crate) customer: Option<PublicKey>,
    /// Of what was received or returned, in hex.
    pub(crate) payment_hash: Option<String>,
    /// The wallet's provider.
    pub(crate) provider: Option<String>,
}

/// The sum of one movement in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct PaymentTotal {
    pub(crate) movement: String,
    pub(crate) payments: u64,
    pub(crate) msat: u64,
}

/// A schedule, or a scheduled run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct ScheduleSummary {
    pub(crate) name: String,
    /// `every 600000 ms`, `cron 0 3 * * *` or `once`.
    pub(crate) rule: String,
    /// What tells several runs of one function apart; `None` for a schedule.
    pub(crate) key: Option<String>,
    /// When it runs next; `None` for a function of which no run is scheduled.
    pub(crate) due: Option<Timestamp>,
    /// When it last ran.
    pub(crate) ran_at: Option<Timestamp>,
    /// How many attempts of this run have begun.
    pub(crate) attempt: u32,
}

/// What became of an operator's wish to run a schedule now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum ManualRun {
    /// It is due.
    Due,
    /// It is running already.
    Running,
    /// The event that authorizes it was used before.
    UsedToken,
    /// There is no schedule with this name, but those with these.
    UnknownSchedule { names: Vec<String> },
    /// No run with this key is scheduled, but those with these, and maybe more.
    UnknownKey { keys: Vec<String> },
}

/// A job in the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct JobSummary {
    /// Its number in the order of arrival.
    pub(crate) seq: u64,
    /// The id of its request.
    pub(crate) id: EventId,
    /// The kind of its request.
    pub(crate) kind: Kind,
    pub(crate) customer: PublicKey,
    pub(crate) state: JobState,
    /// How many attempts have started.
    pub(crate) attempt: u32,
    /// The price in msat, once it is known.
    pub(crate) price_msat: Option<u64>,
    /// The external relay from which the request came.
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
    /// The request event, or null if it is no longer on record.
    pub(crate) request: Value,
    /// The event that ended the job; null before.
    pub(crate) answer: Value,
}

/// A conversation in the list of sessions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct SessionSummary {
    pub(crate) customer: PublicKey,
    /// The customer's key as an npub (NIP-19).
    pub(crate) npub: String,
    /// The number of stored turns.
    pub(crate) turns: u64,
    /// When the last turn was added.
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
    /// The length of its value as JSON, in characters.
    pub(crate) characters: u64,
    pub(crate) written_at: Timestamp,
}

/// Numbers of finished and unfinished jobs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct AgentMetrics {
    pub(crate) ended: Vec<EndedJobs>,
    /// The number of jobs that are not in a final state.
    pub(crate) unfinished: u64,
    /// The number of running handlers, schedules and hooks.
    pub(crate) running: usize,
    /// The number of events that no relay has accepted yet.
    pub(crate) outbox: u64,
    /// The sums of the ledger.
    #[serde(default)]
    pub(crate) payments: Vec<PaymentTotal>,
}

/// The jobs of one kind that ended in one state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(serde::Deserialize))]
pub(crate) struct EndedJobs {
    /// The kind of their requests.
    pub(crate) kind: Kind,
    pub(crate) state: JobState,
    /// The number of jobs.
    pub(crate) jobs: u64,
    /// The total time from the arrival of the requests to their answers, in milliseconds.
    pub(crate) elapsed_ms: u64,
    /// The total amount paid for them, in msat.
    pub(crate) msat: u64,
}

/// The amount of unfinished work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Workload {
    /// The number of jobs that are not in a final state.
    pub(crate) unfinished: u64,
    /// The number of running handlers, schedules and hooks.
    pub(crate) running: usize,
}
