//! The size of a connection's queue, and the memory that all queues take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openagents_host::nostr::message::RelayMessage;

/// More than this is not held in memory for all connections together: then the one for which most is held is closed.
const MAX_OUTBOX_MEMORY: usize = 256 * 1024 * 1024;

/// What an event that is told to many takes for each of them. Its [`SharedText`] is there once.
pub(super) const SHARED_EVENT_BYTES: usize = 128;

/// What is held in memory for all connections, in bytes.
#[derive(Debug)]
pub(in crate::native::server) struct OutboxMemory {
    pub(super) bytes: AtomicUsize,
    pub(super) most: usize,
}

impl Default for OutboxMemory {
    fn default() -> Self {
        Self { bytes: AtomicUsize::new(0), most: MAX_OUTBOX_MEMORY }
    }
}

impl OutboxMemory {
    /// Whether that is more than may be.
    pub(in crate::native::server) fn is_too_much(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.most
    }
}

/// The text of an event that is told to many. It is held until the last of them has it, and counted as long.
#[derive(Debug)]
pub(in crate::native::server) struct SharedText {
    event: Arc<str>,
    held_for_all: Arc<OutboxMemory>,
}

impl SharedText {
    /// What it takes, in bytes, for each of those who wait for it now.
    pub(super) fn share(self: &Arc<Self>) -> usize {
        self.event.len().checked_div(Arc::strong_count(self)).unwrap_or_default()
    }
}

impl Drop for SharedText {
    fn drop(&mut self) {
        self.held_for_all.bytes.fetch_sub(self.event.len(), Ordering::Relaxed);
    }
}

/// Finds out what is one text: those who are told of an event are told one after the other.
pub(in crate::native::server) struct SharedTexts<'a> {
    held_for_all: &'a Arc<OutboxMemory>,
    latest: Option<Arc<SharedText>>,
}

impl<'a> SharedTexts<'a> {
    pub(in crate::native::server) const fn of(held_for_all: &'a Arc<OutboxMemory>) -> Self {
        Self { held_for_all, latest: None }
    }

    /// The text of the event in a message.
    pub(super) fn text(&mut self, message: &RelayMessage) -> Option<Arc<SharedText>> {
        let RelayMessage::Event { event, .. } = message else { return None };
        if let Some(latest) = &self.latest
            && Arc::ptr_eq(&latest.event, event)
        {
            return Some(Arc::clone(latest));
        }
        self.held_for_all.bytes.fetch_add(event.len(), Ordering::Relaxed);
        let text =
            Arc::new(SharedText { event: Arc::clone(event), held_for_all: Arc::clone(self.held_for_all) });
        self.latest = Some(Arc::clone(&text));
        Some(text)
    }
}

/// What waits for a connection: what is queued and what is being written.
#[derive(Debug)]
pub(super) struct QueueUsage {
    /// How much is to be written, in bytes.
    pub(super) waiting: usize,
    /// How much memory is held for it alone, in bytes.
    pub(super) held: usize,
    held_for_all: Arc<OutboxMemory>,
}

impl QueueUsage {
    pub(super) const fn none(held_for_all: Arc<OutboxMemory>) -> Self {
        Self { waiting: 0, held: 0, held_for_all }
    }

    pub(super) fn add(&mut self, size: QueueSize) {
        self.waiting = self.waiting.saturating_add(size.waiting);
        self.held = self.held.saturating_add(size.held);
        self.held_for_all.bytes.fetch_add(size.held, Ordering::Relaxed);
    }

    pub(super) fn remove(&mut self, size: QueueSize) {
        self.waiting = self.waiting.saturating_sub(size.waiting);
        let held = size.held.min(self.held);
        self.held = self.held.saturating_sub(held);
        self.held_for_all.bytes.fetch_sub(held, Ordering::Relaxed);
    }

    /// Counts nothing any more as held: it is about to go.
    pub(super) fn let_go(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.held_for_all.bytes.fetch_sub(held, Ordering::Relaxed);
    }
}

impl Drop for QueueUsage {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// What something adds to a [`QueueUsage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueSize {
    pub(super) waiting: usize,
    pub(super) held: usize,
}

impl QueueSize {
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            waiting: self.waiting.saturating_add(other.waiting),
            held: self.held.saturating_add(other.held),
        }
    }

    /// Of a message that is there for one connection alone.
    pub(super) fn alone(message: &RelayMessage) -> Self {
        Self::rendered(message.size())
    }

    /// Of a message whose [`SharedText`] is there for many.
    pub(super) fn shared(message: &RelayMessage) -> Self {
        Self { waiting: message.size(), held: SHARED_EVENT_BYTES }
    }

    /// Of so many bytes that are being written.
    pub(super) const fn rendered(bytes: usize) -> Self {
        Self { waiting: bytes, held: bytes }
    }

    pub(super) fn of(items: impl Iterator<Item = Self>) -> Self {
        items.fold(Self::default(), Self::and)
    }
}
