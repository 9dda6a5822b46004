//! The outbox: a connection's queue of messages to send, and the task that writes them to the socket.

mod queue_memory;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

pub(super) use self::queue_memory::{ClientMemory, MemoryPart, SharedTexts};
use self::queue_memory::{QueueSize, QueueUsage, SharedText};
use super::encoder::{self, Opcode};
use super::socket::SocketWriter;
use crate::admission::Network;
use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

/// A connection with more bytes than this queued is too slow and is closed.
const MAX_QUEUED_BYTES: usize = 32 * 1024 * 1024;

/// While more bytes than this are queued, the connection is not read.
const PAUSE_READING_BYTES: usize = 1024 * 1024;

/// While this many requests of the connection await an answer, it is not read.
const PAUSE_READING_REQUESTS: usize = 4;

/// Approximately how many bytes are written at once.
const WRITE_CHUNK_BYTES: usize = 256 * 1024;

/// How many bytes may be written at once by the thread that queued them, if the socket accepts them.
const MAX_INLINE_WRITE_BYTES: usize = 64 * 1024;

/// How long writing a chunk may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// The interval between pings.
const PING_INTERVAL: Duration = Duration::from_secs(45);

/// A connection that has sent nothing for this long, not even a pong, is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(100);

/// Why a connection is closed (RFC 6455, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CloseReason {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl CloseReason {
    pub(super) const GOING_AWAY: Self = Self { code: 1001, reason: "the relay is shutting down" };
    pub(super) const PROTOCOL_ERROR: Self = Self { code: 1002, reason: "not the WebSocket protocol" };
    pub(super) const TOO_SLOW: Self =
        Self { code: 1008, reason: "too slow: too much data is waiting to be sent to you" };
    pub(super) const TOO_MUCH_MEMORY: Self =
        Self { code: 1008, reason: "the relay's memory for its clients is full, and you take the most" };
    pub(super) const UNWANTED: Self = Self { code: 1008, reason: "you are not allowed to connect" };
    pub(super) const SILENT: Self = Self { code: 1001, reason: "nothing was received from you in time" };
    pub(super) const UNANSWERED: Self = Self { code: 1011, reason: "a request could not be answered" };
    pub(super) const NORMAL: Self = Self { code: 1000, reason: "" };
}

/// The outbox of a connection.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The client's network, if known.
    network: Option<Network>,
    state: Mutex<OutboxState>,
    /// Notified when there is something to write, or when the connection is to be closed.
    wake: Notify,
    /// Notified when something was written or a request was answered.
    drained: Notify,
    /// Notified when the connection is being closed.
    closing: Notify,
}

#[derive(Debug)]
struct OutboxState {
    /// The socket, unless it is being written to.
    socket: Option<SocketWriter>,
    /// The rest of a write that the socket did not accept at once.
    rest: Vec<u8>,
    /// The pong for the latest ping, which is sent before anything else. Pongs for earlier pings may be skipped (RFC
    /// 6455, section 5.5.3).
    pong: Option<Vec<u8>>,
    queue: VecDeque<OutboxItem>,
    /// How many items are placeholders for answers that are not available yet.
    awaited: usize,
    next_slot: u64,
    usage: QueueUsage,
    /// How many requests await an answer.
    requests: usize,
    /// Whether the writer has been woken.
    is_woken: bool,
    close_reason: Option<CloseReason>,
}

/// Identifies the placeholder that is queued for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerSlot(u64);

#[derive(Debug)]
enum OutboxItem {
    /// A message for this connection only.
    Message(RelayMessage),
    /// An event that is sent to many connections.
    SharedEvent(RelayMessage, Arc<SharedText>),
    /// A placeholder for an answer. Items behind it wait until it is available.
    Awaited {
        slot: AnswerSlot,
        /// The subscription that the answer belongs to, if any.
        subscription: Option<SubscriptionId>,
        /// The memory of the request, in bytes; 0 once it is answered.
        request: usize,
        /// Set if the answer is available but an earlier one is not.
        answer: Option<Vec<RelayMessage>>,
    },
    /// Messages from here on belong to a later request of this subscription than the placeholders before it.
    AnswerBegins(SubscriptionId),
    Ping,
    Pong(Vec<u8>),
}

impl Outbox {
    pub(super) fn new(socket: SocketWriter, memory: Arc<ClientMemory>, network: Option<Network>) -> Self {
        Self {
            network,
            state: Mutex::new(OutboxState {
                socket: Some(socket),
                rest: Vec::new(),
                pong: None,
                queue: VecDeque::new(),
                awaited: 0,
                next_slot: 0,
                usage: QueueUsage::none(memory),
                requests: 0,
                is_woken: false,
                close_reason: None,
            }),
            wake: Notify::new(),
            drained: Notify::new(),
            closing: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, OutboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message. Returns whether the writer must be [woken](Self::wake_writer), which is done once for several
    /// calls.
    #[must_use]
    pub(super) fn push(&self, message: RelayMessage) -> bool {
        let answers = matches!(
            message,
            RelayMessage::EndOfStoredEvents { .. }
                | RelayMessage::Closed { .. }
                | RelayMessage::Count { .. }
                | RelayMessage::Reconcile { .. }
                | RelayMessage::ReconcileRefused { .. }
        );
        let is_woken = self.queue(OutboxItem::Message(message), answers);
        if answers {
            self.drained.notify_one();
        }
        is_woken
    }

    /// [Queues](Self::push) a message of the engine, whose event may be shared with other connections.
    #[must_use]
    pub(super) fn push_shared(&self, message: RelayMessage, texts: &mut SharedTexts<'_>) -> bool {
        match texts.text(&message) {
            Some(text) => self.queue(OutboxItem::SharedEvent(message, text), false),
            None => self.push(message),
        }
    }

    /// Queues a pong.
    pub(super) fn pong(&self, payload: Vec<u8>) {
        let is_woken = {
            let mut state = self.state();
            state.pong = Some(payload);
            std::mem::replace(&mut state.is_woken, true)
        };
        if !is_woken {
            self.wake_writer(true);
        }
    }

    fn queue(&self, item: OutboxItem, answers: bool) -> bool {
        let mut state = self.state();
        if state.close_reason.is_some() {
            return false;
        }
        if answers {
            state.requests = state.requests.saturating_sub(1);
        }
        state.usage.add(item.size());
        if state.usage.waiting > MAX_QUEUED_BYTES {
            drop(state);
            self.drop_and_close(CloseReason::TOO_SLOW);
            return false;
        }
        state.queue.push_back(item);
        !std::mem::replace(&mut state.is_woken, true)
    }

    /// Queues a placeholder for the answer to a request that takes this many bytes of memory. The answer belongs to
    /// this subscription if one is given.
    pub(super) fn reserve(&self, subscription: Option<&SubscriptionId>, request: usize) -> AnswerSlot {
        let mut state = self.state();
        let slot = AnswerSlot(state.next_slot);
        state.next_slot = state.next_slot.wrapping_add(1);
        state.awaited = state.awaited.saturating_add(1);
        let subscription = subscription.cloned();
        let item = OutboxItem::Awaited { slot, subscription, request, answer: None };
        state.usage.add(item.size());
        state.queue.push_back(item);
        slot
    }

    /// Marks that the messages from here on belong to a new request of this subscription.
    pub(super) fn begin_answer(&self, subscription: SubscriptionId) {
        let mut state = self.state();
        if state.awaited > 0 {
            state.queue.push_back(OutboxItem::AnswerBegins(subscription));
        }
    }

    /// Replaces a placeholder by its answer. Events that arrived as new while the answer was being read may be in it
    /// and also in the queue behind it; those duplicates are dropped.
    pub(super) fn answer(&self, slot: AnswerSlot, messages: Vec<RelayMessage>) {
        if self.state().answer(slot, messages) {
            self.drained.notify_one();
            self.wake_writer(true);
        } else {
            self.drop_and_close(CloseReason::TOO_SLOW);
        }
    }

    /// Counts a part of the connection's memory, which takes this many bytes now.
    pub(super) fn set_memory(&self, part: MemoryPart, bytes: usize) {
        let mut state = self.state();
        if state.close_reason.is_none() {
            state.usage.set(part, bytes);
        }
    }

    /// The client's network, if known.
    pub(super) const fn network(&self) -> Option<Network> {
        self.network
    }

    /// How many bytes of memory this connection uses, including its share of texts that it shares with others; 0 if it
    /// is being closed. Iterates over the whole queue.
    pub(super) fn memory(&self) -> usize {
        let state = self.state();
        if state.close_reason.is_some() {
            return 0;
        }
        let share = |item: &OutboxItem| match item {
            OutboxItem::SharedEvent(_, text) => text.share(),
            _ => 0,
        };
        state.queue.iter().map(share).fold(state.usage.total(), usize::saturating_add)
    }

    /// Drops the queue, sends the close frame, and ends the connection.
    pub(super) fn drop_and_close(&self, close_reason: CloseReason) {
        {
            let mut state = self.state();
            state.drop_queue();
            // The chunk being written will be freed soon, so no other connection must be closed because of it.
            state.usage.stop_counting();
        }
        self.close(close_reason);
    }

    /// Has the queue written: inline, if that is requested and possible without waiting, else by the writer task.
    pub(super) fn wake_writer(&self, inline: bool) {
        if inline && self.state().write_at_once() {
            self.drained.notify_one();
        } else {
            self.wake.notify_one();
        }
    }

    /// Writes the queue, sends the close frame, and ends the connection.
    pub(super) fn close(&self, close_reason: CloseReason) {
        self.state().close_reason.get_or_insert(close_reason);
        self.wake.notify_one();
        self.drained.notify_one();
        self.closing.notify_one();
    }

    /// Waits until the connection is being closed.
    pub(super) async fn closing(&self) {
        while self.state().close_reason.is_none() {
            self.closing.notified().await;
        }
    }

    /// Counts a request that will get one answer: `EOSE`, `COUNT`, `CLOSED`, `NEG-MSG` or `NEG-ERR`.
    pub(super) fn expect_answer(&self) {
        let mut state = self.state();
        state.requests = state.requests.saturating_add(1);
    }

    /// Waits until the client has received enough of its answers to be read again.
    pub(super) async fn ready(&self) {
        loop {
            {
                let state = self.state();
                let ready =
                    state.usage.waiting <= PAUSE_READING_BYTES && state.requests < PAUSE_READING_REQUESTS;
                if ready || state.close_reason.is_some() {
                    return;
                }
            }
            self.drained.notified().await;
        }
    }

    /// Writes until the connection is closed. `last_received` returns when something was last received from the client.
    pub(super) async fn write(&self, last_received: impl Fn() -> Instant) {
        let mut ping = tokio::time::interval(PING_INTERVAL);
        ping.reset();
        let mut is_more = false;
        loop {
            let mut ping_due = false;
            tokio::select! {
                biased;
                () = std::future::ready(()), if is_more => {}
                () = self.wake.notified() => {}
                _ = ping.tick() => {
                    if last_received().elapsed() > IDLE_TIMEOUT {
                        self.close(CloseReason::SILENT);
                    } else {
                        ping_due = true;
                    }
                }
            }
            let (socket, mut bytes, mut taken, close_reason) = {
                let mut state = self.state();
                state.is_woken = false;
                let rest = std::mem::take(&mut state.rest);
                let taken = state.take_ready();
                is_more = state.has_ready();
                (state.socket.take(), rest, taken, state.close_reason)
            };
            // Only this task takes the socket; it is put back below.
            let Some(mut socket) = socket else { return };
            if ping_due {
                taken.push_back(OutboxItem::Ping);
            }
            if self.write_all(&mut taken, &mut bytes, &mut socket).await.is_err() {
                self.close(CloseReason::TOO_SLOW);
                return socket.shutdown().await;
            }
            if let Some(close_reason) = close_reason
                && !is_more
            {
                encoder::close(close_reason.code, close_reason.reason, &mut bytes);
                let _ = timeout(WRITE_TIMEOUT, socket.write_all(&bytes)).await;
                return socket.shutdown().await;
            }
            self.state().socket = Some(socket);
        }
    }

    /// Writes the taken items in one call, because each call may send a packet.
    async fn write_all(
        &self,
        taken: &mut VecDeque<OutboxItem>,
        bytes: &mut Vec<u8>,
        socket: &mut SocketWriter,
    ) -> std::io::Result<()> {
        let size = taken.iter().map(|item| item.size().waiting).fold(bytes.len(), usize::saturating_add);
        taken.drain(..).for_each(|item| item.encode(bytes));
        if !bytes.is_empty() {
            timeout(WRITE_TIMEOUT, socket.write_all(bytes)).await??;
            bytes.clear();
            self.state().usage.remove(QueueSize::rendered(size));
            self.drained.notify_one();
        }
        Ok(())
    }
}

impl OutboxState {
    /// Writes what the socket accepts without waiting; returns whether nothing is left that could be written now.
    fn write_at_once(&mut self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let ready = self.ready();
        let size = QueueSize::of(self.queue.iter().take(ready).map(OutboxItem::size));
        if self.close_reason.is_some() || size.waiting > MAX_INLINE_WRITE_BYTES || !self.rest.is_empty() {
            return false;
        }
        let mut bytes = Vec::new();
        let pong = self.pong.take().map(OutboxItem::Pong);
        for item in pong.into_iter().chain(self.queue.drain(..ready)) {
            item.encode(&mut bytes);
        }
        // The writer task will encounter the error again.
        let written = if bytes.is_empty() { 0 } else { socket.try_write(&bytes).unwrap_or(0) };
        bytes.drain(..written.min(bytes.len()));
        self.usage.remove(size);
        self.usage.add(QueueSize::rendered(bytes.len()));
        self.rest = bytes;
        self.is_woken = !self.rest.is_empty();
        !self.is_woken
    }

    /// Takes about [`WRITE_CHUNK_BYTES`] of what can be written now: everything before the first placeholder, and a
    /// pong. Items that are not taken can still be dropped. The taken items are counted as rendered from here on,
    /// since the caller renders them next.
    fn take_ready(&mut self) -> VecDeque<OutboxItem> {
        let (mut taken, mut size) = (VecDeque::new(), QueueSize::default());
        while size.waiting < WRITE_CHUNK_BYTES
            && self.has_ready()
            && let Some(item) = self.queue.pop_front()
        {
            size = size.and(item.size());
            taken.push_back(item);
        }
        self.usage.remove(size);
        self.usage.add(QueueSize::rendered(size.waiting));
        if let Some(pong) = self.pong.take() {
            taken.push_front(OutboxItem::Pong(pong));
        }
        taken
    }

    /// Whether anything can be written now.
    fn has_ready(&self) -> bool {
        self.queue.front().is_some_and(|item| !item.is_awaited())
    }

    /// Drops the queue, including placeholders.
    fn drop_queue(&mut self) {
        let size = QueueSize::of(self.queue.drain(..).map(|item| match item {
            OutboxItem::Awaited { answer, request, .. } => {
                QueueSize::of(answer.iter().flatten().map(QueueSize::alone)).and(QueueSize::request(request))
            }
            item => item.size(),
        }));
        self.usage.remove(size);
        self.awaited = 0;
    }

    /// How many items are queued before the first placeholder.
    fn ready(&self) -> usize {
        self.queue.iter().take_while(|item| !item.is_awaited()).count()
    }

    /// Replaces a placeholder by its answer; returns whether the queue is still within its limit.
    fn answer(&mut self, slot: AnswerSlot, messages: Vec<RelayMessage>) -> bool {
        let awaited = self.queue.iter_mut().find_map(|item| match item {
            OutboxItem::Awaited { slot: of, answer, request, .. } if *of == slot => Some((answer, request)),
            _ => None,
        });
        let Some((awaited, request)) = awaited else { return true };
        self.usage.remove(QueueSize::request(std::mem::take(request)));
        self.requests = self.requests.saturating_sub(usize::from(!messages.is_empty()));
        self.usage.add(QueueSize::of(messages.iter().map(QueueSize::alone)));
        *awaited = Some(messages);
        while self.expand_next_answer() {}
        self.usage.waiting <= MAX_QUEUED_BYTES
    }

    /// Replaces the first placeholder by its answer, if that is available.
    fn expand_next_answer(&mut self) -> bool {
        let position = self.ready();
        let Some(OutboxItem::Awaited { subscription, answer, .. }) = self.queue.get_mut(position) else {
            return false;
        };
        let (Some(messages), subscription) = (answer.take(), subscription.clone()) else { return false };
        let mut behind = self.queue.split_off(position);
        behind.pop_front();
        self.awaited = self.awaited.saturating_sub(1);
        if let Some(subscription) = subscription {
            let dropped = Self::drop_duplicates(&messages, &subscription, &mut behind);
            self.usage.remove(dropped);
        }
        self.queue.extend(messages.into_iter().map(OutboxItem::Message));
        self.queue.append(&mut behind);
        true
    }

    /// Drops duplicates: events of this subscription that are both in the answer and in the queue behind it. Returns
    /// their size. Items behind the subscription's next answer belong to that one and are kept.
    fn drop_duplicates(
        answer: &[RelayMessage],
        subscription: &SubscriptionId,
        behind: &mut VecDeque<OutboxItem>,
    ) -> QueueSize {
        if behind.is_empty() {
            return QueueSize::default();
        }
        let event = |message: &RelayMessage| match message {
            RelayMessage::Event { event, .. } => Some(Arc::clone(event)),
            _ => None,
        };
        // All copies of an event share one text, so equal pointers mean equal events.
        let answered: HashSet<_> = answer.iter().filter_map(event).collect();
        let (mut dropped, mut is_next) = (QueueSize::default(), false);
        behind.retain(|item| {
            match item {
                OutboxItem::Awaited { subscription: of, .. } => is_next |= of.as_ref() == Some(subscription),
                OutboxItem::AnswerBegins(of) => is_next |= of == subscription,
                OutboxItem::Message(RelayMessage::Event { subscription: of, event })
                | OutboxItem::SharedEvent(RelayMessage::Event { subscription: of, event }, _)
                    if !is_next && of == subscription && answered.contains(event) =>
                {
                    dropped = dropped.and(item.size());
                    return false;
                }
                _ => {}
            }
            true
        });
        dropped
    }
}

impl OutboxItem {
    const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited { .. })
    }

    fn size(&self) -> QueueSize {
        match self {
            Self::Message(message) => QueueSize::alone(message),
            Self::SharedEvent(message, _) => QueueSize::shared(message),
            // At most one pong is queued, and it has at most 125 bytes.
            Self::Ping | Self::Pong(_) | Self::AnswerBegins(_) => QueueSize::default(),
            Self::Awaited { request, .. } => QueueSize::request(*request),
        }
    }

    /// Appends the item's frame.
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Message(message) | Self::SharedEvent(message, _) => encoder::message(message, bytes),
            Self::Ping => encoder::frame(Opcode::Ping, b"", bytes),
            Self::Awaited { .. } | Self::AnswerBegins(_) => {}
            Self::Pong(payload) => encoder::frame(Opcode::Pong, payload, bytes),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
