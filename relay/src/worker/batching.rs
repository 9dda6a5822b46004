//! Messages that arrive together are gathered for a turn of the runtime, so that they share a commit.

use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::worker::now;

use crate::engine::Input;

/// The batch that was handled last.
#[derive(Clone, Copy)]
pub(super) struct LastBatch {
    pub(super) at: Timestamp,
    /// How many messages it had.
    pub(super) count: usize,
}

/// A message that arrives this soon after others were handled waits for those that arrive with it…
const GATHER_WINDOW: Duration = Duration::from_millis(1);

/// … or this soon after a batch: the clients that it answered may send their next messages together, which takes as
/// long as their answers are under way.
const GATHER_WINDOW_AFTER_BATCH: Duration = Duration::from_millis(50);

impl LastBatch {
    /// Whether a message that arrives now should wait for others.
    pub(super) fn is_recent(self) -> bool {
        self.at.until(now()) <= if self.count > 1 { GATHER_WINDOW_AFTER_BATCH } else { GATHER_WINDOW }
    }
}

/// The most messages in a batch.
pub(super) const MAX_BATCH_MESSAGES: usize = 256;

/// A batch has at most the text of this many messages of the greatest length: all of it is in memory.
pub(super) const MAX_BATCH_LONGEST_MESSAGES: usize = 4;

/// The messages that wait to be handled together.
#[derive(Default)]
pub(super) struct MessageBatch {
    pub(super) inputs: Vec<Input>,
    /// The length of their texts, in bytes.
    pub(super) length: usize,
}
