//! What is to be written to a connection, and the task that writes it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::encoder::{self, Opcode};
use crate::message::RelayMessage;

/// More than this does not wait for a connection: it is too slow and is closed.
const MOST_WAITING: usize = 32 * 1024 * 1024;

/// While more than this waits, nothing more is read from the connection.
const ENOUGH_WAITING: usize = 1024 * 1024;

/// While this many requests of the connection wait for their answer, nothing more is read from it.
const ENOUGH_REQUESTS: usize = 4;

/// About how much is written at once.
const CHUNK: usize = 256 * 1024;

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
    pub(super) const NORMAL: Self = Self { code: 1000, reason: "" };
}

/// The queue of a connection.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// There is something to write, or to close for.
    wanted: Notify,
    /// Something was written, or a request was answered.
    drained: Notify,
    /// It is being closed.
    closing: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    /// The size of what is queued and of what is being written.
    waiting: usize,
    /// Requests that have not been answered.
    requests: usize,
    /// Whether the writer knows that there is something.
    called: bool,
    farewell: Option<Farewell>,
}

#[derive(Debug)]
enum Item {
    Message(RelayMessage),
    Pong(Vec<u8>),
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message. Says whether the writer has to be [called](Self::call): who queues several calls once.
    #[must_use]
    pub(super) fn push(&self, message: RelayMessage) -> bool {
        let answers = matches!(
            message,
            RelayMessage::EndOfStoredEvents { .. } | RelayMessage::Closed { .. } | RelayMessage::Count { .. }
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
        let size = payload.len();
        if self.queue(Item::Pong(payload), size, false) {
            self.call();
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

    /// Wakes the writer.
    pub(super) fn call(&self) {
        self.wanted.notify_one();
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

    /// Notes that a request was made, which will be answered by `EOSE` or `CLOSED`.
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
    pub(super) async fn write_to<W: AsyncWrite + Unpin>(&self, mut socket: W, heard: impl Fn() -> Instant) {
        let mut bytes = Vec::new();
        let mut taken = VecDeque::new();
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.reset();
        loop {
            tokio::select! {
                () = self.wanted.notified() => {}
                _ = ping.tick() => {
                    if heard().elapsed() > SILENCE {
                        self.close(Farewell::SILENT);
                    } else {
                        encoder::frame(Opcode::Ping, b"", &mut bytes);
                    }
                }
            }
            let farewell = {
                let mut state = self.state();
                state.called = false;
                std::mem::swap(&mut state.queue, &mut taken);
                state.farewell
            };
            if self.write_all(&mut taken, &mut bytes, &mut socket).await.is_err() {
                break self.close(Farewell::TOO_SLOW);
            }
            if let Some(farewell) = farewell {
                encoder::close(farewell.code, farewell.reason, &mut bytes);
                let _ = timeout(WRITE_TIMEOUT, flush(&mut bytes, &mut socket)).await;
                break;
            }
        }
        let _ = socket.shutdown().await;
    }

    /// Writes what was taken: many frames in one write, since each write is a packet.
    async fn write_all<W: AsyncWrite + Unpin>(
        &self,
        taken: &mut VecDeque<Item>,
        bytes: &mut Vec<u8>,
        socket: &mut W,
    ) -> std::io::Result<()> {
        let mut json = String::new();
        while !taken.is_empty() || !bytes.is_empty() {
            let mut written = 0_usize;
            while bytes.len() < CHUNK {
                let Some(item) = taken.pop_front() else { break };
                match item {
                    Item::Message(message) => {
                        written = written.saturating_add(message.size());
                        json.clear();
                        message.write_json(&mut json);
                        encoder::frame(Opcode::Text, json.as_bytes(), bytes);
                    }
                    Item::Pong(payload) => {
                        written = written.saturating_add(payload.len());
                        encoder::frame(Opcode::Pong, &payload, bytes);
                    }
                }
            }
            timeout(WRITE_TIMEOUT, flush(bytes, socket)).await??;
            let mut state = self.state();
            state.waiting = state.waiting.saturating_sub(written);
            drop(state);
            self.drained.notify_one();
        }
        // Thousands of connections must not each keep the memory of their largest answer.
        bytes.shrink_to(4_096);
        Ok(())
    }
}

async fn flush<W: AsyncWrite + Unpin>(bytes: &mut Vec<u8>, socket: &mut W) -> std::io::Result<()> {
    socket.write_all(bytes).await?;
    socket.flush().await?;
    bytes.clear();
    Ok(())
}
