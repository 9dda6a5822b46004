//! The queue of a connection, and the task that writes it to the socket.

mod queue_memory;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

pub(super) use self::queue_memory::{OutboxMemory, SharedTexts};
use self::queue_memory::{QueueSize, QueueUsage, SharedText};
use super::encoder::{self, Opcode};
use super::socket::SocketWriter;
use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

/// More than this does not wait for a connection: it is too slow and is closed.
const MAX_QUEUED_BYTES: usize = 32 * 1024 * 1024;

/// While more than this waits, nothing more is read from the connection.
const PAUSE_READING_BYTES: usize = 1024 * 1024;

/// While this many requests of the connection wait for their answer, nothing more is read from it.
const PAUSE_READING_REQUESTS: usize = 4;

/// About how much is written at once.
const WRITE_CHUNK_BYTES: usize = 256 * 1024;

/// No more than this is written at once by whoever queued it, if the socket takes it.
const MAX_INLINE_WRITE_BYTES: usize = 64 * 1024;

/// How long a chunk may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a connection is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(45);

/// A connection that was not heard of for this long is gone.
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
    pub(super) const TOO_SLOW: Self = Self { code: 1008, reason: "too slow: too much is waiting to be read" };
    pub(super) const LARGEST_QUEUE: Self =
        Self { code: 1008, reason: "too much is waiting to be read, most of it by you" };
    pub(super) const UNWANTED: Self = Self { code: 1008, reason: "you may not connect here" };
    pub(super) const SILENT: Self = Self { code: 1001, reason: "nothing was heard from you" };
    pub(super) const UNANSWERED: Self = Self { code: 1011, reason: "a request could not be answered" };
    pub(super) const NORMAL: Self = Self { code: 1000, reason: "" };
}

/// The queue of a connection.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<OutboxState>,
    /// There is something to write, or to close for.
    wake: Notify,
    /// Something was written, or a request was answered.
    drained: Notify,
    /// It is being closed.
    closing: Notify,
}

#[derive(Debug)]
struct OutboxState {
    /// The socket, while nobody writes.
    socket: Option<SocketWriter>,
    /// What the socket did not take at once: the rest of a write.
    rest: Vec<u8>,
    /// The answer to the latest ping, which waits for nothing. Those to earlier ones need not be sent (RFC 6455,
    /// section 5.5.3).
    pong: Option<Vec<u8>>,
    queue: VecDeque<OutboxItem>,
    /// How many items are answers that have not come yet.
    awaited: usize,
    next_slot: u64,
    usage: QueueUsage,
    /// Requests that have not been answered.
    requests: usize,
    /// Whether the writer knows that there is something.
    is_woken: bool,
    close_reason: Option<CloseReason>,
}

/// The slot that is kept in the queue for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnswerSlot(u64);

#[derive(Debug)]
enum OutboxItem {
    /// What is there for this connection alone.
    Message(RelayMessage),
    /// An event that is told to many.
    SharedEvent(RelayMessage, Arc<SharedText>),
    /// Here comes an answer; what stands behind it waits for it.
    Awaited {
        slot: AnswerSlot,
        /// Of which subscription it is, if of any.
        subscription: Option<SubscriptionId>,
        /// It has come, but one before it has not.
        answer: Option<Vec<RelayMessage>>,
    },
    /// From here on messages answer a later request of this subscription than the answers that are awaited before.
    AnswerBegins(SubscriptionId),
    Ping,
    Pong(Vec<u8>),
}

impl Outbox {
    pub(super) fn new(socket: SocketWriter, held: Arc<OutboxMemory>) -> Self {
        Self {
            state: Mutex::new(OutboxState {
                socket: Some(socket),
                rest: Vec::new(),
                pong: None,
                queue: VecDeque::new(),
                awaited: 0,
                next_slot: 0,
                usage: QueueUsage::none(held),
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

    /// Queues a message. Says whether the writer has to be [woken](Self::wake_writer): who queues several calls once.
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

    /// [Queues](Self::push) a message of the engine, which may be one of many with the same event.
    #[must_use]
    pub(super) fn push_shared(&self, message: RelayMessage, texts: &mut SharedTexts<'_>) -> bool {
        match texts.text(&message) {
            Some(text) => self.queue(OutboxItem::SharedEvent(message, text), false),
            None => self.push(message),
        }
    }

    /// Answers a ping.
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

    /// Keeps a place in the queue for an answer, of this subscription if it is of any.
    pub(super) fn reserve(&self, subscription: Option<&SubscriptionId>) -> AnswerSlot {
        let mut state = self.state();
        let slot = AnswerSlot(state.next_slot);
        state.next_slot = state.next_slot.wrapping_add(1);
        state.awaited = state.awaited.saturating_add(1);
        let subscription = subscription.cloned();
        state.queue.push_back(OutboxItem::Awaited { slot, subscription, answer: None });
        slot
    }

    /// Notes that the answer to a request comes next.
    pub(super) fn begin_answer(&self, subscription: SubscriptionId) {
        let mut state = self.state();
        if state.awaited > 0 {
            state.queue.push_back(OutboxItem::AnswerBegins(subscription));
        }
    }

    /// Puts an answer into its place. Events in it that were queued behind it as new, as they came while it was being
    /// read, are not sent twice.
    pub(super) fn answer(&self, slot: AnswerSlot, messages: Vec<RelayMessage>) {
        if self.state().answer(slot, messages) {
            self.drained.notify_one();
            self.wake_writer(true);
        } else {
            self.drop_and_close(CloseReason::TOO_SLOW);
        }
    }

    /// How much memory is held for this connection, with its share of what is held for others too, in bytes; nothing if
    /// it is being closed. This looks at all that is queued.
    pub(super) fn held(&self) -> usize {
        let state = self.state();
        if state.close_reason.is_some() {
            return 0;
        }
        let share = |item: &OutboxItem| match item {
            OutboxItem::SharedEvent(_, text) => text.share(),
            _ => 0,
        };
        state.queue.iter().map(share).fold(state.usage.held, usize::saturating_add)
    }

    /// Drops what is queued, sends the close frame, and ends the connection.
    pub(super) fn drop_and_close(&self, close_reason: CloseReason) {
        {
            let mut state = self.state();
            state.drop_queue();
            // What is being written goes soon as well: no other has to be closed for it.
            state.usage.let_go();
        }
        self.close(close_reason);
    }

    /// Sees to it that what is queued is written: at once, if that is wished and needs no waiting, or by the writer.
    pub(super) fn wake_writer(&self, at_once: bool) {
        if at_once && self.state().write_at_once() {
            self.drained.notify_one();
        } else {
            self.wake.notify_one();
        }
    }

    /// Writes what is queued, sends the close frame, and ends the connection.
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

    /// Notes that something was asked, which will have one answer: `EOSE`, `COUNT`, `CLOSED`, `NEG-MSG` or `NEG-ERR`.
    pub(super) fn expect_answer(&self) {
        let mut state = self.state();
        state.requests = state.requests.saturating_add(1);
    }

    /// Waits until the client has taken in enough of what it asked for to ask for more.
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

    /// Writes until the connection is closed. `heard` says when something last came from the client.
    pub(super) async fn write(&self, heard: impl Fn() -> Instant) {
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
                    if heard().elapsed() > IDLE_TIMEOUT {
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
            // Only this task takes it, and gives it back below.
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

    /// Writes what was taken in one write, since each write is a packet.
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
    /// Writes all that can be without waiting; whether that was everything that can be written now.
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
        // An error comes again when the writer tries.
        let written = if bytes.is_empty() { 0 } else { socket.try_write(&bytes).unwrap_or(0) };
        bytes.drain(..written.min(bytes.len()));
        self.usage.remove(size);
        self.usage.add(QueueSize::rendered(bytes.len()));
        self.rest = bytes;
        self.is_woken = !self.rest.is_empty();
        !self.is_woken
    }

    /// Takes what can be written now, about a [`WRITE_CHUNK_BYTES`] of it: nothing behind an answer that has not come,
    /// except a pong. What is not taken can still be dropped. From here on it counts as rendered, which is what comes
    /// next.
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

    /// Whether something can be written now.
    fn has_ready(&self) -> bool {
        self.queue.front().is_some_and(|item| !item.is_awaited())
    }

    /// Drops all that is queued, and the places of answers that have not come.
    fn drop_queue(&mut self) {
        let size = QueueSize::of(self.queue.drain(..).map(|item| match item {
            OutboxItem::Awaited { answer, .. } => {
                QueueSize::of(answer.iter().flatten().map(QueueSize::alone))
            }
            item => item.size(),
        }));
        self.usage.remove(size);
        self.awaited = 0;
    }

    /// How many items stand before the first answer that has not come.
    fn ready(&self) -> usize {
        self.queue.iter().take_while(|item| !item.is_awaited()).count()
    }

    /// Puts an answer into its place; whether it still fits.
    fn answer(&mut self, slot: AnswerSlot, messages: Vec<RelayMessage>) -> bool {
        let awaited = self.queue.iter_mut().find_map(|item| match item {
            OutboxItem::Awaited { slot: of, answer, .. } if *of == slot => Some(answer),
            _ => None,
        });
        let Some(awaited) = awaited else { return true };
        self.requests = self.requests.saturating_sub(usize::from(!messages.is_empty()));
        self.usage.add(QueueSize::of(messages.iter().map(QueueSize::alone)));
        *awaited = Some(messages);
        while self.unpack_next() {}
        self.usage.waiting <= MAX_QUEUED_BYTES
    }

    /// Puts the messages of the first answer that is awaited into the queue, if it has come.
    fn unpack_next(&mut self) -> bool {
        let position = self.ready();
        let Some(OutboxItem::Awaited { subscription, answer, .. }) = self.queue.get_mut(position) else {
            return false;
        };
        let (Some(messages), subscription) = (answer.take(), subscription.clone()) else { return false };
        let mut behind = self.queue.split_off(position);
        behind.pop_front();
        self.awaited = self.awaited.saturating_sub(1);
        if let Some(subscription) = subscription {
            let told = Self::drop_told(&messages, &subscription, &mut behind);
            self.usage.remove(told);
        }
        self.queue.extend(messages.into_iter().map(OutboxItem::Message));
        self.queue.append(&mut behind);
        true
    }

    /// Drops from what stands behind an answer the events of its subscription that are in it, and says what their size
    /// was. What stands behind the subscription's next answer belongs to that one.
    fn drop_told(
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
        // An event has one text.
        let told: HashSet<_> = answer.iter().filter_map(event).collect();
        let (mut dropped, mut is_next) = (QueueSize::default(), false);
        behind.retain(|item| {
            match item {
                OutboxItem::Awaited { subscription: of, .. } => is_next |= of.as_ref() == Some(subscription),
                OutboxItem::AnswerBegins(of) => is_next |= of == subscription,
                OutboxItem::Message(RelayMessage::Event { subscription: of, event })
                | OutboxItem::SharedEvent(RelayMessage::Event { subscription: of, event }, _)
                    if !is_next && of == subscription && told.contains(event) =>
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
            // At most one of them waits, and none has more than 125 bytes.
            Self::Ping | Self::Pong(_) | Self::Awaited { .. } | Self::AnswerBegins(_) => QueueSize::default(),
        }
    }

    /// Appends its frame.
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
