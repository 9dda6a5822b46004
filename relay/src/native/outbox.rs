//! What is to be written to a connection, and the task that writes it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::encoder::{self, Opcode};
use super::socket::Writer;
use crate::message::{RelayMessage, SubscriptionId};

/// More than this does not wait for a connection: it is too slow and is closed.
const MOST_WAITING: usize = 32 * 1024 * 1024;

/// While more than this waits, nothing more is read from the connection.
const ENOUGH_WAITING: usize = 1024 * 1024;

/// While this many requests of the connection wait for their answer, nothing more is read from it.
const ENOUGH_REQUESTS: usize = 4;

/// About how much is written at once.
const CHUNK: usize = 256 * 1024;

/// No more than this is written at once by whoever queued it, if the socket takes it.
const ENOUGH_AT_ONCE: usize = 16 * 1024;

/// How long a chunk may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a connection is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(45);

/// A connection that was not heard of for this long is gone.
const SILENCE: Duration = Duration::from_secs(100);

/// Why a connection is closed (RFC 6455, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Farewell {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl Farewell {
    pub(super) const GOING_AWAY: Self = Self { code: 1001, reason: "the relay is shutting down" };
    pub(super) const PROTOCOL_ERROR: Self = Self { code: 1002, reason: "not the WebSocket protocol" };
    pub(super) const TOO_SLOW: Self = Self { code: 1008, reason: "too slow: too much is waiting to be read" };
    pub(super) const UNWANTED: Self = Self { code: 1008, reason: "you may not connect here" };
    pub(super) const SILENT: Self = Self { code: 1001, reason: "nothing was heard from you" };
    pub(super) const UNANSWERED: Self = Self { code: 1011, reason: "a request could not be answered" };
    pub(super) const NORMAL: Self = Self { code: 1000, reason: "" };
}

/// The queue of a connection.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is something to write, or to close for.
    wanted: Notify,
    /// Something was written, or a request was answered.
    drained: Notify,
    /// It is being closed.
    closing: Notify,
}

#[derive(Debug)]
struct State {
    /// The socket, while nobody writes.
    socket: Option<Writer>,
    /// What the socket did not take at once: the rest of a write.
    rest: Vec<u8>,
    /// The answer to the latest ping, which waits for nothing. Those to earlier ones need not be sent (RFC 6455, section
    /// 5.5.3).
    pong: Option<Vec<u8>>,
    queue: VecDeque<Item>,
    /// How many items are answers that have not come yet.
    awaited: usize,
    next_place: u64,
    /// The size of what is queued and of what is being written.
    waiting: usize,
    /// Requests that have not been answered.
    requests: usize,
    /// Whether the writer knows that there is something.
    called: bool,
    farewell: Option<Farewell>,
}

/// The place that is kept for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u64);

#[derive(Debug)]
enum Item {
    Message(RelayMessage),
    /// Here comes an answer; what stands behind it waits for it.
    Awaited {
        place: Place,
        /// Of which subscription it is, if of any.
        subscription: Option<SubscriptionId>,
        /// It has come, but one before it has not.
        answer: Option<Vec<RelayMessage>>,
    },
    Ping,
    Pong(Vec<u8>),
}

impl Outbox {
    pub(super) fn new(socket: Writer) -> Self {
        Self {
            state: Mutex::new(State {
                socket: Some(socket),
                rest: Vec::new(),
                pong: None,
                queue: VecDeque::new(),
                awaited: 0,
                next_place: 0,
                waiting: 0,
                requests: 0,
                called: false,
                farewell: None,
            }),
            wanted: Notify::new(),
            drained: Notify::new(),
            closing: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message. Says whether the writer has to be [called](Self::call): who queues several calls once.
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
        let size = message.size();
        let called = self.queue(Item::Message(message), size, answers);
        if answers {
            self.drained.notify_one();
        }
        called
    }

    /// Answers a ping.
    pub(super) fn pong(&self, payload: Vec<u8>) {
        let called = {
            let mut state = self.state();
            state.pong = Some(payload);
            std::mem::replace(&mut state.called, true)
        };
        if !called {
            self.call(true);
        }
    }

    fn queue(&self, item: Item, size: usize, answers: bool) -> bool {
        let mut state = self.state();
        if state.farewell.is_some() {
            return false;
        }
        if answers {
            state.requests = state.requests.saturating_sub(1);
        }
        state.waiting = state.waiting.saturating_add(size);
        if state.waiting > MOST_WAITING {
            state.queue.clear();
            drop(state);
            self.close(Farewell::TOO_SLOW);
            return false;
        }
        state.queue.push_back(item);
        !std::mem::replace(&mut state.called, true)
    }

    /// Keeps a place in the queue for an answer, of this subscription if it is of any.
    pub(super) fn reserve(&self, subscription: Option<&SubscriptionId>) -> Place {
        let mut state = self.state();
        let place = Place(state.next_place);
        state.next_place = state.next_place.wrapping_add(1);
        state.awaited = state.awaited.saturating_add(1);
        let subscription = subscription.cloned();
        state.queue.push_back(Item::Awaited { place, subscription, answer: None });
        place
    }

    /// Puts an answer into its place. Events in it that were queued behind it as new, as they came while it was being
    /// read, are not sent twice.
    pub(super) fn answer(&self, place: Place, messages: Vec<RelayMessage>) {
        if self.state().answer(place, messages) {
            self.drained.notify_one();
            self.call(true);
        } else {
            self.close(Farewell::TOO_SLOW);
        }
    }

    /// Sees to it that what is queued is written: at once, if that is wished and needs no waiting, or by the writer.
    pub(super) fn call(&self, at_once: bool) {
        if at_once && self.state().write_at_once() {
            self.drained.notify_one();
        } else {
            self.wanted.notify_one();
        }
    }

    /// Writes what is queued, says farewell, and ends the connection.
    pub(super) fn close(&self, farewell: Farewell) {
        self.state().farewell.get_or_insert(farewell);
        self.wanted.notify_one();
        self.drained.notify_one();
        self.closing.notify_one();
    }

    /// Waits until the connection is being closed.
    pub(super) async fn closing(&self) {
        while self.state().farewell.is_none() {
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
                let ready = state.waiting <= ENOUGH_WAITING && state.requests < ENOUGH_REQUESTS;
                if ready || state.farewell.is_some() {
                    return;
                }
            }
            self.drained.notified().await;
        }
    }

    /// Writes until the connection is closed. `heard` says when something last came from the client.
    pub(super) async fn write(&self, heard: impl Fn() -> Instant) {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.reset();
        loop {
            let mut ping_due = false;
            tokio::select! {
                () = self.wanted.notified() => {}
                _ = ping.tick() => {
                    if heard().elapsed() > SILENCE {
                        self.close(Farewell::SILENT);
                    } else {
                        ping_due = true;
                    }
                }
            }
            let (socket, mut bytes, mut taken, farewell) = {
                let mut state = self.state();
                state.called = false;
                let rest = std::mem::take(&mut state.rest);
                (state.socket.take(), rest, state.take_ready(), state.farewell)
            };
            // Only this task takes it, and gives it back below.
            let Some(mut socket) = socket else { return };
            if ping_due {
                taken.push_back(Item::Ping);
            }
            if self.write_all(&mut taken, &mut bytes, &mut socket).await.is_err() {
                self.close(Farewell::TOO_SLOW);
                return socket.shutdown().await;
            }
            if let Some(farewell) = farewell {
                encoder::close(farewell.code, farewell.reason, &mut bytes);
                let _ = timeout(WRITE_TIMEOUT, socket.write_all(&bytes)).await;
                return socket.shutdown().await;
            }
            self.state().socket = Some(socket);
        }
    }

    /// Writes what was taken: many frames in one write, since each write is a packet.
    async fn write_all(
        &self,
        taken: &mut VecDeque<Item>,
        bytes: &mut Vec<u8>,
        socket: &mut Writer,
    ) -> std::io::Result<()> {
        let mut written = bytes.len();
        while !taken.is_empty() || !bytes.is_empty() {
            while bytes.len() < CHUNK {
                let Some(item) = taken.pop_front() else { break };
                written = written.saturating_add(item.size());
                item.encode(bytes);
            }
            timeout(WRITE_TIMEOUT, socket.write_all(bytes)).await??;
            bytes.clear();
            let mut state = self.state();
            state.waiting = state.waiting.saturating_sub(written);
            drop(state);
            self.drained.notify_one();
            written = 0;
        }
        Ok(())
    }
}

impl State {
    /// Writes all that can be without waiting; whether that was everything that can be written now.
    fn write_at_once(&mut self) -> bool {
        let Some(socket) = &self.socket else { return false };
        let ready = self.ready();
        let size = self.queue.iter().take(ready).fold(0_usize, |size, item| size.saturating_add(item.size()));
        if self.farewell.is_some() || size > ENOUGH_AT_ONCE || !self.rest.is_empty() {
            return false;
        }
        let mut bytes = Vec::new();
        let pong = self.pong.take().map(Item::Pong);
        for item in pong.into_iter().chain(self.queue.drain(..ready)) {
            item.encode(&mut bytes);
        }
        // An error comes again when the writer tries.
        let written = if bytes.is_empty() { 0 } else { socket.try_write(&bytes).unwrap_or(0) };
        bytes.drain(..written.min(bytes.len()));
        self.waiting = self.waiting.saturating_sub(size).saturating_add(bytes.len());
        self.rest = bytes;
        self.called = !self.rest.is_empty();
        !self.called
    }

    /// Takes what can be written now: nothing behind an answer that has not come, except a pong.
    fn take_ready(&mut self) -> VecDeque<Item> {
        let mut taken = if self.awaited == 0 {
            std::mem::take(&mut self.queue)
        } else {
            let ready = self.ready();
            self.queue.drain(..ready).collect()
        };
        if let Some(pong) = self.pong.take() {
            taken.push_front(Item::Pong(pong));
        }
        taken
    }

    /// How many items stand before the first answer that has not come.
    fn ready(&self) -> usize {
        self.queue.iter().take_while(|item| !item.is_awaited()).count()
    }

    /// Puts an answer into its place; whether it still fits.
    fn answer(&mut self, place: Place, messages: Vec<RelayMessage>) -> bool {
        let awaited = self.queue.iter_mut().find_map(|item| match item {
            Item::Awaited { place: of, answer, .. } if *of == place => Some(answer),
            _ => None,
        });
        let Some(awaited) = awaited else { return true };
        let size = messages.iter().fold(0_usize, |size, message| size.saturating_add(message.size()));
        self.requests = self.requests.saturating_sub(usize::from(!messages.is_empty()));
        *awaited = Some(messages);
        self.waiting = self.waiting.saturating_add(size);
        while self.unpack_next() {}
        self.waiting <= MOST_WAITING
    }

    /// Puts the messages of the first answer that is awaited into the queue, if it has come.
    fn unpack_next(&mut self) -> bool {
        let position = self.ready();
        let Some(Item::Awaited { subscription, answer, .. }) = self.queue.get_mut(position) else {
            return false;
        };
        let (Some(messages), subscription) = (answer.take(), subscription.clone()) else { return false };
        let mut behind = self.queue.split_off(position);
        behind.pop_front();
        self.awaited = self.awaited.saturating_sub(1);
        if let Some(subscription) = subscription {
            let told = Self::drop_told(&messages, &subscription, &mut behind);
            self.waiting = self.waiting.saturating_sub(told);
        }
        self.queue.extend(messages.into_iter().map(Item::Message));
        self.queue.append(&mut behind);
        true
    }

    /// Drops from what stands behind an answer the events of its subscription that are in it, and says what their size
    /// was. What stands behind the subscription's next answer belongs to that one.
    fn drop_told(
        answer: &[RelayMessage],
        subscription: &SubscriptionId,
        behind: &mut VecDeque<Item>,
    ) -> usize {
        if behind.is_empty() {
            return 0;
        }
        let event = |message: &RelayMessage| match message {
            RelayMessage::Event { event, .. } => Some(std::sync::Arc::clone(event)),
            _ => None,
        };
        // An event has one text.
        let told: HashSet<_> = answer.iter().filter_map(event).collect();
        let (mut dropped, mut is_next) = (0_usize, false);
        behind.retain(|item| {
            match item {
                Item::Awaited { subscription: of, .. } => is_next |= of.as_ref() == Some(subscription),
                Item::Message(message @ RelayMessage::Event { subscription: of, event })
                    if !is_next && of == subscription && told.contains(event) =>
                {
                    dropped = dropped.saturating_add(message.size());
                    return false;
                }
                _ => {}
            }
            true
        });
        dropped
    }
}

impl Item {
    const fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited { .. })
    }

    fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.size(),
            // At most one of them waits, and none has more than 125 bytes.
            Self::Ping | Self::Pong(_) | Self::Awaited { .. } => 0,
        }
    }

    /// Appends its frame.
    fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Message(message) => encoder::message(message, bytes),
            Self::Ping => encoder::frame(Opcode::Ping, b"", bytes),
            Self::Awaited { .. } => {}
            Self::Pong(payload) => encoder::frame(Opcode::Pong, payload, bytes),
        }
    }
}

#[cfg(test)]
mod tests;
