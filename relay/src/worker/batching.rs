//! Batching of WebSocket messages that arrive within one turn of the event loop, so that they share a commit.

use std::time::Duration;

use openagents_host::Timestamp;
use openagents_host::worker::now;

/// The batch that was handled last.
#[derive(Clone, Copy)]
pub(super) struct LastBatch {
    pub(super) at: Timestamp,
    /// How many messages it had.
    pub(super) count: usize,
}

/// A message that arrives this soon after other messages were handled waits for more of them…
const GATHER_WINDOW: Duration = Duration::from_millis(1);

/// … or this soon after a batch: its clients may send their next messages together once they have the answers.
const GATHER_WINDOW_AFTER_BATCH: Duration = Duration::from_millis(50);

impl LastBatch {
    /// Whether a message that arrives now should wait for others.
    pub(super) fn is_recent(self) -> bool {
        self.at.until(now()) <= if self.count > 1 { GATHER_WINDOW_AFTER_BATCH } else { GATHER_WINDOW }
    }
}

/// The most messages in a batch.
pub(super) const MAX_BATCH_MESSAGES: usize = 256;

/// The text of a batch is at most this many times the greatest length of a message, because all of it is in memory.
pub(super) const MAX_BATCH_LONGEST_MESSAGES: usize = 4;
