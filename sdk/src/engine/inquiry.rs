//! What handlers and doors ask the agent's database.

use openagents_host::{EventId, PublicKey};
use serde_json::Value;

/// A question to the agent's database. The answer is JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Inquiry {
    /// The value under a key, or null.
    Memory { key: String },
    /// The keys that begin with a prefix, in order.
    MemoryKeys { prefix: String, limit: usize },
    /// A statement on the agent's own tables; its rows.
    Sql { statement: String, values: Vec<Value> },
    /// The last turns of a conversation, oldest first.
    Turns { customer: PublicKey, limit: usize },
    /// The customers with a conversation, the last one to speak first.
    Sessions { limit: usize },
    /// The jobs before this one in the order of arrival, the newest first.
    History { before: Option<u64>, limit: usize },
    /// One job, with its request and answer.
    Job { id: EventId },
    /// What came of the jobs of each kind, and what is under way.
    Metrics,
}
