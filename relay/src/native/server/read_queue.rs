//! The queue of reads that wait for a reader thread.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::outbox::{AnswerSlot, CloseReason, Outbox};
use crate::engine::{ClientRead, ReadRequest};
use openagents_host::nostr::message::RelayMessage;

/// The queued reads, in the order of the requests.
#[derive(Default)]
pub(super) struct ReadQueue {
    state: Mutex<ReadQueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct ReadQueueState {
    /// A connection has only a few reads in it, because it is not read from while they wait.
    queue: VecDeque<QueuedRead>,
    /// Nothing will be added any more.
    closed: bool,
}

/// A read, and the placeholder for its answer in the connection's outbox.
pub(super) struct QueuedRead {
    pub(super) read: ClientRead,
    outbox: Option<(Arc<Outbox>, AnswerSlot)>,
}

impl QueuedRead {
    /// Queues the placeholder: messages that are queued later are sent after the answer.
    pub(super) fn new(read: ClientRead, outbox: &Arc<Outbox>) -> Self {
        let subscribes = matches!(read.read.request, ReadRequest::Events(_));
        let slot = outbox.reserve(subscribes.then_some(&read.subscription), read.memory_bytes());
        Self { read, outbox: Some((Arc::clone(outbox), slot)) }
    }

    pub(super) fn answer(mut self, messages: Vec<RelayMessage>) {
        if let Some((outbox, slot)) = self.outbox.take() {
            outbox.answer(slot, messages);
        }
    }
}

impl Drop for QueuedRead {
    fn drop(&mut self) {
        // The relay is shutting down, or a reader thread has panicked. The connection is closed, because a client can
        // reconnect, but might otherwise wait for ever.
        if let Some((outbox, _)) = &self.outbox {
            outbox.close(CloseReason::UNANSWERED);
        }
    }
}

impl ReadQueue {
    pub(super) fn push(&self, queued: QueuedRead) {
        self.state().queue.push_back(queued);
        self.changed.notify_one();
    }

    /// Waits for the next read. `None` when there will be no more.
    fn next(&self) -> Option<QueuedRead> {
        let mut state = self.state();
        loop {
            if let Some(queued) = state.queue.pop_front() {
                return Some(queued);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Passes each read to `answer` until the queue is closed. A panic ends the current read only.
    pub(super) fn run(&self, mut answer: impl FnMut(QueuedRead)) {
        while let Some(queued) = self.next() {
            // A panic may leave an open transaction in the store, which is then rolled back.
            let answered = panic::catch_unwind(AssertUnwindSafe(|| answer(queued)));
            if answered.is_err() {
                tracing::error!("a reader panicked; the read was not answered");
            }
        }
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, ReadQueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::Timestamp;

    use super::{QueuedRead, ReadQueue};
    use crate::engine::{ClientRead, ReadRequest, StoreRead};
    use crate::native::server::outbox::tests::{memory, stuck};
    use crate::session::ConnectionId;
    use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

    #[test]
    fn a_count_with_a_subscriptions_id_causes_no_duplicates() {
        let outbox = stuck(&memory(10_000));
        let subscription = || SubscriptionId::new("a").unwrap();
        let read = |request| ClientRead {
            connection: ConnectionId::new(1),
            subscription: subscription(),
            message: None,
            read: StoreRead { request, now: Timestamp::EPOCH, pubkeys: std::collections::BTreeSet::new() },
        };
        let event = || RelayMessage::Event { subscription: subscription(), event: "1".into() };
        let request = QueuedRead::new(read(ReadRequest::Events(Vec::new())), &outbox);
        let count = QueuedRead::new(read(ReadRequest::Count(Vec::new())), &outbox);
        let _ = outbox.push(event());
        request.answer(vec![event()]);
        count.answer(vec![RelayMessage::Notice("a count".into())]);
        assert_eq!(outbox.taken(), [r#"["EVENT","a",1]"#, r#"["NOTICE","a count"]"#]);
    }

    #[test]
    fn a_panic_ends_no_other_read() {
        let read_queue = ReadQueue::default();
        for number in 0..3 {
            let read = ClientRead {
                connection: ConnectionId::new(number),
                subscription: SubscriptionId::new("a").unwrap(),
                message: None,
                read: StoreRead {
                    request: ReadRequest::Events(Vec::new()),
                    now: Timestamp::EPOCH,
                    pubkeys: std::collections::BTreeSet::new(),
                },
            };
            read_queue.push(QueuedRead { read, outbox: None });
        }
        read_queue.close();
        let mut answered = Vec::new();
        read_queue.run(|queued| {
            assert_ne!(queued.read.connection, ConnectionId::new(1), "a bug");
            answered.push(queued.read.connection);
        });
        assert_eq!(answered, [ConnectionId::new(0), ConnectionId::new(2)]);
    }
}
