//! The memory that a connection takes, and that all of them take: queues, subscriptions, unfinished messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::admission::ClientMemoryUsage;
use openagents_host::nostr::message::RelayMessage;

/// If everything that clients make the relay keep takes more bytes than this, [connections are
/// closed](crate::admission::memory::sort_by_memory).
const MAX_CLIENT_MEMORY: usize = 256 * 1024 * 1024;

/// How many bytes a shared event takes per connection. Its [`SharedText`] exists once.
pub(super) const SHARED_EVENT_BYTES: usize = 128;

/// The memory that all connections together take, in bytes.
#[derive(Debug)]
pub(in crate::native::server) struct ClientMemory {
    /// All of it.
    pub(super) bytes: AtomicUsize,
    /// The part that subscriptions take.
    pub(super) subscriptions: AtomicUsize,
    /// The part that unfinished messages take.
    pub(super) unfinished: AtomicUsize,
    pub(super) most: usize,
}

impl Default for ClientMemory {
    fn default() -> Self {
        Self::with_limit(MAX_CLIENT_MEMORY)
    }
}

impl ClientMemory {
    pub(super) const fn with_limit(most: usize) -> Self {
        let [bytes, subscriptions, unfinished] = [const { AtomicUsize::new(0) }; 3];
        Self { bytes, subscriptions, unfinished, most }
    }

    /// How much is used for what.
    pub(in crate::native::server) fn usage(&self) -> ClientMemoryUsage {
        let bytes =
            |counter: &AtomicUsize| u64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        let (subscriptions, unfinished_messages) = (bytes(&self.subscriptions), bytes(&self.unfinished));
        let others = subscriptions.saturating_add(unfinished_messages);
        let output = bytes(&self.bytes).saturating_sub(others);
        let limit = u64::try_from(self.most).unwrap_or(u64::MAX);
        ClientMemoryUsage { subscriptions, unfinished_messages, output, limit }
    }

    const fn part(&self, part: MemoryPart) -> &AtomicUsize {
        match part {
            MemoryPart::Subscriptions => &self.subscriptions,
            MemoryPart::UnfinishedMessage => &self.unfinished,
        }
    }

    /// Whether the limit is exceeded.
    pub(in crate::native::server) fn is_too_much(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.most
    }
}

/// The text of an event that is sent to many connections. It is held, and counted, until the last of them has sent it.
#[derive(Debug)]
pub(in crate::native::server) struct SharedText {
    event: Arc<str>,
    total_memory: Arc<ClientMemory>,
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
    total_memory: &'a Arc<ClientMemory>,
    latest: Option<Arc<SharedText>>,
}

impl<'a> SharedTexts<'a> {
    pub(in crate::native::server) const fn of(total_memory: &'a Arc<ClientMemory>) -> Self {
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

/// What a connection takes memory for, besides its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native::server) enum MemoryPart {
    /// Subscriptions and reconciliations.
    Subscriptions,
    /// A message of which a part has arrived.
    UnfinishedMessage,
}

/// The memory that a connection takes: its queue, including what is being written, and other parts.
#[derive(Debug)]
pub(super) struct QueueUsage {
    /// How many bytes are to be written.
    pub(super) waiting: usize,
    /// How many bytes of memory the queue takes for this connection alone.
    pub(super) memory: usize,
    subscriptions: usize,
    unfinished: usize,
    total_memory: Arc<ClientMemory>,
}

impl QueueUsage {
    pub(super) const fn none(total_memory: Arc<ClientMemory>) -> Self {
        Self { waiting: 0, memory: 0, subscriptions: 0, unfinished: 0, total_memory }
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

    /// All memory that is used for this connection alone.
    pub(super) const fn total(&self) -> usize {
        self.memory.saturating_add(self.subscriptions).saturating_add(self.unfinished)
    }

    /// Counts a part of the memory, which takes this many bytes now.
    pub(super) fn set(&mut self, part: MemoryPart, bytes: usize) {
        let own = match part {
            MemoryPart::Subscriptions => &mut self.subscriptions,
            MemoryPart::UnfinishedMessage => &mut self.unfinished,
        };
        let before = std::mem::replace(own, bytes);
        for total in [&self.total_memory.bytes, self.total_memory.part(part)] {
            total.fetch_add(bytes, Ordering::Relaxed);
            total.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// Stops counting this connection's memory, because it is about to be freed.
    pub(super) fn stop_counting(&mut self) {
        self.set(MemoryPart::Subscriptions, 0);
        self.set(MemoryPart::UnfinishedMessage, 0);
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

    /// The size of a request that waits for its answer.
    pub(super) const fn request(bytes: usize) -> Self {
        Self { waiting: 0, memory: bytes }
    }

    /// The size of rendered bytes that are being written.
    pub(super) const fn rendered(bytes: usize) -> Self {
        Self { waiting: bytes, memory: bytes }
    }

    pub(super) fn of(items: impl Iterator<Item = Self>) -> Self {
        items.fold(Self::default(), Self::and)
    }
}
