//! The size of a connection's queue, and the memory that all queues take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openagents_host::nostr::message::RelayMessage;

/// If all queues together use more bytes than this, the connection with the largest one is closed.
const MAX_OUTBOX_MEMORY: usize = 256 * 1024 * 1024;

/// How many bytes a shared event takes per connection. Its [`SharedText`] exists once.
pub(super) const SHARED_EVENT_BYTES: usize = 128;

/// The memory used by all queues together, in bytes.
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
    /// Whether the limit is exceeded.
    pub(in crate::native::server) fn is_too_much(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.most
    }
}

/// The text of an event that is sent to many connections. It is held, and counted, until the last of them has sent it.
#[derive(Debug)]
pub(in crate::native::server) struct SharedText {
    event: Arc<str>,
    total_memory: Arc<OutboxMemory>,
}

impl SharedText {
    /// The share of each connection that still has it queued, in bytes.
    pub(super) fn share(self: &Arc<Self>) -> usize {
        self.event.len().checked_div(Arc::strong_count(self)).unwrap_or_default()
    }
}

impl Drop for SharedText {
    fn drop(&mut self) {
        self.total_memory.bytes.fetch_sub(self.event.len(), Ordering::Relaxed);
    }
}

/// Detects shared texts: messages with the same event are queued one directly after the other.
pub(in crate::native::server) struct SharedTexts<'a> {
    total_memory: &'a Arc<OutboxMemory>,
    latest: Option<Arc<SharedText>>,
}

impl<'a> SharedTexts<'a> {
    pub(in crate::native::server) const fn of(total_memory: &'a Arc<OutboxMemory>) -> Self {
        Self { total_memory, latest: None }
    }

    /// The shared text of the event in a message.
    pub(super) fn text(&mut self, message: &RelayMessage) -> Option<Arc<SharedText>> {
        let RelayMessage::Event { event, .. } = message else { return None };
        if let Some(latest) = &self.latest
            && Arc::ptr_eq(&latest.event, event)
        {
            return Some(Arc::clone(latest));
        }
        self.total_memory.bytes.fetch_add(event.len(), Ordering::Relaxed);
        let text =
            Arc::new(SharedText { event: Arc::clone(event), total_memory: Arc::clone(self.total_memory) });
        self.latest = Some(Arc::clone(&text));
        Some(text)
    }
}

/// The size of a connection's queue, including what is being written.
#[derive(Debug)]
pub(super) struct QueueUsage {
    /// How many bytes are to be written.
    pub(super) waiting: usize,
    /// How many bytes of memory are used for this connection alone.
    pub(super) memory: usize,
    total_memory: Arc<OutboxMemory>,
}

impl QueueUsage {
    pub(super) const fn none(total_memory: Arc<OutboxMemory>) -> Self {
        Self { waiting: 0, memory: 0, total_memory }
    }

    pub(super) fn add(&mut self, size: QueueSize) {
        self.waiting = self.waiting.saturating_add(size.waiting);
        self.memory = self.memory.saturating_add(size.memory);
        self.total_memory.bytes.fetch_add(size.memory, Ordering::Relaxed);
    }

    pub(super) fn remove(&mut self, size: QueueSize) {
        self.waiting = self.waiting.saturating_sub(size.waiting);
        let memory = size.memory.min(self.memory);
        self.memory = self.memory.saturating_sub(memory);
        self.total_memory.bytes.fetch_sub(memory, Ordering::Relaxed);
    }

    /// Stops counting this queue's memory, because it is about to be freed.
    pub(super) fn stop_counting(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        self.total_memory.bytes.fetch_sub(memory, Ordering::Relaxed);
    }
}

impl Drop for QueueUsage {
    fn drop(&mut self) {
        self.stop_counting();
    }
}

/// The size of an item in a [`QueueUsage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueSize {
    pub(super) waiting: usize,
    pub(super) memory: usize,
}

impl QueueSize {
    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            waiting: self.waiting.saturating_add(other.waiting),
            memory: self.memory.saturating_add(other.memory),
        }
    }

    /// The size of a message for one connection.
    pub(super) fn alone(message: &RelayMessage) -> Self {
        Self::rendered(message.size())
    }

    /// The size of a message with a [`SharedText`].
    pub(super) fn shared(message: &RelayMessage) -> Self {
        Self { waiting: message.size(), memory: SHARED_EVENT_BYTES }
    }

    /// The size of rendered bytes that are being written.
    pub(super) const fn rendered(bytes: usize) -> Self {
        Self { waiting: bytes, memory: bytes }
    }

    pub(super) fn of(items: impl Iterator<Item = Self>) -> Self {
        items.fold(Self::default(), Self::and)
    }
}
