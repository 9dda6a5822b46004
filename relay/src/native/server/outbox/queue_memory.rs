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
    held_for_all: Arc<OutboxMemory>,
}

impl SharedText {
    /// The share of each connection that still has it queued, in bytes.
    pub(super) fn share(self: &Arc<Self>) -> usize {
        self.event.len().checked_div(Arc::strong_count(self)).unwrap_or_default()
    }
}

impl Drop for SharedText {
    fn drop(&mut self) {
        self.held_for_all.bytes.fetch_sub(self.event.len(), Ordering::Relaxed);
    }
}

/// Detects shared texts: messages with the same event are queued one directly after the other.
pub(in crate::native::server) struct SharedTexts<'a> {
    held_for_all: &'a Arc<OutboxMemory>,
    latest: Option<Arc<SharedText>>,
}

impl<'a> SharedTexts<'a> {
    pub(in crate::native::server) const fn of(held_for_all: &'a Arc<OutboxMemory>) -> Self {
        Self { held_for_all, latest: None }
    }

    /// The shared text of the event in a message.
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

/// The size of a connection's queue, including what is being written.
#[derive(Debug)]
pub(super) struct QueueUsage {
    /// How many bytes are to be written.
    pub(super) waiting: usize,
    /// How many bytes of memory are used for this connection alone.
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

    /// Stops counting this queue's memory, because it is about to be freed.
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

/// The size of an item in a [`QueueUsage`].
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

    /// The size of a message for one connection.
    pub(super) fn alone(message: &RelayMessage) -> Self {
        Self::rendered(message.size())
    }

    /// The size of a message with a [`SharedText`].
    pub(super) fn shared(message: &RelayMessage) -> Self {
        Self { waiting: message.size(), held: SHARED_EVENT_BYTES }
    }

    /// The size of rendered bytes that are being written.
    pub(super) const fn rendered(bytes: usize) -> Self {
        Self { waiting: bytes, held: bytes }
    }

    pub(super) fn of(items: impl Iterator<Item = Self>) -> Self {
        items.fold(Self::default(), Self::and)
    }
}
