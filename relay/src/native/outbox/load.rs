//! How much waits for a connection, and how much memory that takes for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::message::RelayMessage;

/// More than this is not held in memory for all connections together: then the one for which most is held is closed.
const MOST_HELD: usize = 256 * 1024 * 1024;

/// What an event that is told to many takes for each of them: its text is there once.
pub(super) const SHARED: usize = 128;

/// What is held in memory for all connections, in bytes.
#[derive(Debug)]
pub(in crate::native) struct Held {
    pub(super) bytes: AtomicUsize,
    pub(super) most: usize,
}

impl Default for Held {
    fn default() -> Self {
        Self { bytes: AtomicUsize::new(0), most: MOST_HELD }
    }
}

impl Held {
    /// Whether that is more than may be.
    pub(in crate::native) fn is_too_much(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.most
    }
}

/// What waits for a connection: what is queued and what is being written.
#[derive(Debug)]
pub(super) struct Load {
    /// How much is to be written, in bytes.
    pub(super) waiting: usize,
    /// How much memory is held for it alone, in bytes.
    pub(super) held: usize,
    held_for_all: Arc<Held>,
}

impl Load {
    pub(super) const fn none(held_for_all: Arc<Held>) -> Self {
        Self { waiting: 0, held: 0, held_for_all }
    }

    pub(super) fn add(&mut self, size: Size) {
        self.waiting = self.waiting.saturating_add(size.waiting);
        self.held = self.held.saturating_add(size.held);
        self.held_for_all.bytes.fetch_add(size.held, Ordering::Relaxed);
    }

    pub(super) fn remove(&mut self, size: Size) {
        self.waiting = self.waiting.saturating_sub(size.waiting);
        let held = size.held.min(self.held);
        self.held = self.held.saturating_sub(held);
        self.held_for_all.bytes.fetch_sub(held, Ordering::Relaxed);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.held_for_all.bytes.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// What something adds to a [`Load`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) waiting: usize,
    pub(super) held: usize,
}

impl Size {
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            waiting: self.waiting.saturating_add(other.waiting),
            held: self.held.saturating_add(other.held),
        }
    }

    /// Of a message in an answer.
    pub(super) fn answered(message: &RelayMessage) -> Self {
        let size = message.size();
        Self { waiting: size, held: size }
    }

    /// Of a message that the engine has sent.
    pub(super) fn told(message: &RelayMessage) -> Self {
        let size = message.size();
        let held = if matches!(message, RelayMessage::Event { .. }) { SHARED } else { size };
        Self { waiting: size, held }
    }

    pub(super) fn of(items: impl Iterator<Item = Self>) -> Self {
        items.fold(Self::default(), Self::and)
    }
}
