//! The queue of reads that wait for a reader thread: fair between networks, so that nobody's reads hold up those of
//! others.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::outbox::{AnswerSlot, CloseReason, Outbox};
use crate::admission::{Network, WorkOwner};
use crate::engine::{ClientRead, ReadRequest};
use openagents_host::nostr::message::RelayMessage;

/// How long a turn lasts. Answers to one connection that are ready together are sent together, so ending the turn after
/// each read, however short, would cost a tenth more processor time.
const TURN: Duration = Duration::from_micros(500);

/// The reads of one network in turn with those of all others, each in the order of its requests.
///
/// A network can occupy half of the threads, and one of them with a `COUNT` or a reconciliation, which take the longest.
/// One thread never counts or reconciles if there are several.
#[derive(Default)]
pub(super) struct ReadQueue {
    state: Mutex<ReadQueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct ReadQueueState {
    /// Those with reads that wait or are being answered.
    owners: BTreeMap<WorkOwner, OwnedReads>,
    /// Those with reads that wait, in the order of their turns.
    turns: VecDeque<WorkOwner>,
    /// How many threads there are.
    threads: usize,
    /// How many of them wait for a read.
    idle: usize,
    /// How many of them count or reconcile.
    scans: usize,
    /// Nothing will be added any more.
    closed: bool,
}

#[derive(Default)]
struct OwnedReads {
    /// A connection has only a few reads in it, because it is not read from while they wait.
    waiting: VecDeque<QueuedRead>,
    /// How many are being answered.
    running: usize,
    /// How many of these count or reconcile.
    scans: usize,
    /// How long its reads have taken since its turn began.
    turn: Duration,
}

/// A read that was answered.
#[derive(Clone, Copy)]
struct AnsweredRead {
    owner: WorkOwner,
    scans: bool,
    took: Duration,
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

    /// The client's network, if known.
    pub(super) fn network(&self) -> Option<Network> {
        self.outbox.as_ref().and_then(|(outbox, _)| outbox.network())
    }

    fn owner(&self) -> WorkOwner {
        WorkOwner::of(self.network(), self.read.connection)
    }

    /// Whether it counts or reconciles, which reads everything that matches.
    pub(super) const fn scans(&self) -> bool {
        match self.read.read.request {
            ReadRequest::Events(_) => false,
            ReadRequest::Count(_) | ReadRequest::Records(_) => true,
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

impl ReadQueueState {
    fn push(&mut self, queued: QueuedRead) {
        let owner = queued.owner();
        let reads = self.owners.entry(owner).or_default();
        if reads.waiting.is_empty() {
            self.turns.push_back(owner);
        }
        reads.waiting.push_back(queued);
    }

    /// The next read that may be answered now, with its owner.
    fn take(&mut self) -> Option<(WorkOwner, QueuedRead)> {
        let most_running = self.threads.div_ceil(2).max(1);
        let may_scan = self.scans < self.threads.saturating_sub(1).max(1);
        let next = self.turns.iter().enumerate().find_map(|(turn, owner)| {
            let reads = self.owners.get(owner).filter(|reads| reads.running < most_running)?;
            let may_scan = may_scan && reads.scans == 0;
            let read = reads.waiting.iter().position(|queued| may_scan || !queued.scans())?;
            Some((turn, read))
        });
        let (turn, read) = next?;
        let owner = self.turns.remove(turn)?;
        let reads = self.owners.get_mut(&owner)?;
        let queued = reads.waiting.remove(read)?;
        if !reads.waiting.is_empty() {
            self.turns.push_front(owner);
        }
        reads.running = reads.running.saturating_add(1);
        let scans = usize::from(queued.scans());
        reads.scans = reads.scans.saturating_add(scans);
        self.scans = self.scans.saturating_add(scans);
        Some((owner, queued))
    }

    fn finish(&mut self, read: AnsweredRead) {
        let Some(reads) = self.owners.get_mut(&read.owner) else { return };
        let scans = usize::from(read.scans);
        reads.running = reads.running.saturating_sub(1);
        reads.scans = reads.scans.saturating_sub(scans);
        self.scans = self.scans.saturating_sub(scans);
        reads.turn = reads.turn.saturating_add(read.took);
        if reads.running == 0 && reads.waiting.is_empty() {
            self.owners.remove(&read.owner);
        } else if reads.turn >= TURN {
            reads.turn = Duration::ZERO;
            if let Some(place) = self.turns.iter().position(|owner| *owner == read.owner) {
                self.turns.remove(place);
                self.turns.push_back(read.owner);
            }
        }
    }
}

impl ReadQueue {
    pub(super) fn push(&self, queued: QueuedRead) {
        let mut state = self.state();
        state.push(queued);
        if state.idle > 0 {
            self.changed.notify_one();
        }
    }

    /// Notes that a read was answered, and waits for the next one that may be. `None` when there will be no more.
    fn next(&self, answered: Option<AnsweredRead>) -> Option<(WorkOwner, QueuedRead)> {
        let mut state = self.state();
        if let Some(read) = answered {
            state.finish(read);
        }
        loop {
            if let Some(taken) = state.take() {
                // Another read may have become possible, too.
                if state.idle > 0 && !state.turns.is_empty() {
                    self.changed.notify_one();
                }
                return Some(taken);
            }
            if state.closed && state.turns.is_empty() {
                self.changed.notify_all();
                return None;
            }
            state.idle = state.idle.saturating_add(1);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle = state.idle.saturating_sub(1);
        }
    }

    /// Passes each read to `answer` until the queue is closed. A panic ends the current read only.
    pub(super) fn run(&self, mut answer: impl FnMut(QueuedRead)) {
        {
            let mut state = self.state();
            state.threads = state.threads.saturating_add(1);
        }
        let mut answered = None;
        while let Some((owner, queued)) = self.next(answered) {
            let (scans, began) = (queued.scans(), Instant::now());
            // A panic may leave an open transaction in the store, which is then rolled back.
            let result = panic::catch_unwind(AssertUnwindSafe(|| answer(queued)));
            if result.is_err() {
                tracing::error!("a reader panicked; the read was not answered");
            }
            answered = Some(AnsweredRead { owner, scans, took: began.elapsed() });
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
    use std::time::Duration;

    use openagents_host::Timestamp;

    use super::{AnsweredRead, QueuedRead, ReadQueue, ReadQueueState, TURN};
    use crate::admission::{Network, WorkOwner};
    use crate::engine::{ClientRead, ReadRequest, StoreRead};
    use crate::native::server::outbox::tests::{memory, stuck, stuck_from};
    use crate::session::ConnectionId;
    use openagents_host::nostr::message::{RelayMessage, SubscriptionId};

    fn read(connection: u64, request: ReadRequest) -> ClientRead {
        ClientRead {
            connection: ConnectionId::new(connection),
            subscription: SubscriptionId::new("a").unwrap(),
            message: None,
            read: StoreRead { request, now: Timestamp::EPOCH, pubkeys: std::collections::BTreeSet::new() },
        }
    }

    /// A state with this many threads.
    fn state(threads: usize) -> ReadQueueState {
        ReadQueueState { threads, ..ReadQueueState::default() }
    }

    fn push(state: &mut ReadQueueState, connection: u64, request: ReadRequest, address: &str) {
        let outbox = stuck_from(&memory(1_000_000), Some(Network::of(address.parse().unwrap())));
        state.push(QueuedRead::new(read(connection, request), &outbox));
    }

    const EVENTS: ReadRequest = ReadRequest::Events(Vec::new());
    const COUNT: ReadRequest = ReadRequest::Count(Vec::new());

    /// The connections whose reads are taken until no more may run at once.
    fn taken(state: &mut ReadQueueState) -> Vec<u64> {
        std::iter::from_fn(|| state.take()).map(|(_, queued)| queued.read.connection.number()).collect()
    }

    fn finish(state: &mut ReadQueueState, owner: WorkOwner, queued: &QueuedRead, took: Duration) {
        state.finish(AnsweredRead { owner, scans: queued.scans(), took });
    }

    #[test]
    fn a_turn_ends_after_some_time_and_not_after_each_short_read() {
        let mut state = state(2);
        for connection in [1, 1, 1, 1, 2] {
            push(&mut state, connection, EVENTS, "127.0.0.1");
        }
        let mut order = Vec::new();
        while let Some((owner, queued)) = state.take() {
            order.push(queued.read.connection.number());
            finish(&mut state, owner, &queued, TURN / 2);
        }
        assert_eq!(order, [1, 1, 2, 1, 1]);
    }

    #[test]
    fn however_much_one_network_asks_for_another_waits_for_one_read() {
        let mut state = state(1);
        for connection in 0..8 {
            for _ in 0..4 {
                push(&mut state, connection, COUNT, "192.0.2.1");
            }
        }
        let (owner, first) = state.take().unwrap();
        push(&mut state, 100, EVENTS, "192.0.2.2");
        push(&mut state, 100, COUNT, "192.0.2.2");
        push(&mut state, 101, EVENTS, "2001:db8::1");
        finish(&mut state, owner, &first, Duration::from_secs(1));
        let mut order = Vec::new();
        while let Some((owner, queued)) = state.take() {
            order.push(queued.read.connection.number());
            finish(&mut state, owner, &queued, Duration::from_secs(1));
        }
        assert_eq!(order[..6], [100, 101, 0, 100, 0, 0]);
        assert_eq!(order.len(), 34, "and all are answered");
        assert!(state.owners.is_empty() && state.turns.is_empty() && state.scans == 0);
    }

    #[test]
    fn a_network_occupies_half_of_the_threads_and_counts_with_one() {
        let mut state = state(4);
        for connection in 0..3 {
            push(&mut state, connection, COUNT, "192.0.2.1");
        }
        assert_eq!(taken(&mut state), [0], "it counts with one thread");
        for connection in 10..13 {
            push(&mut state, connection, EVENTS, "192.0.2.1");
        }
        assert_eq!(taken(&mut state), [10], "a request does not wait behind a count that may not run");
        push(&mut state, 20, COUNT, "192.0.2.2");
        push(&mut state, 30, COUNT, "192.0.2.3");
        assert_eq!(taken(&mut state), [20, 30]);
        push(&mut state, 40, COUNT, "192.0.2.4");
        push(&mut state, 41, EVENTS, "192.0.2.4");
        assert_eq!(taken(&mut state), [41], "one thread never counts");
    }

    #[test]
    fn clients_behind_a_proxy_on_this_machine_are_not_one_network() {
        let mut state = state(2);
        for connection in [1, 1, 2, 3] {
            push(&mut state, connection, EVENTS, "127.0.0.1");
        }
        assert_eq!(taken(&mut state), [1, 2, 3]);
    }

    #[test]
    fn a_count_with_a_subscriptions_id_causes_no_duplicates() {
        let outbox = stuck(&memory(10_000));
        let subscription = SubscriptionId::new("a").unwrap();
        let event = || RelayMessage::Event { subscription: subscription.clone(), event: "1".into() };
        let request = QueuedRead::new(read(1, EVENTS), &outbox);
        let count = QueuedRead::new(read(1, COUNT), &outbox);
        let _ = outbox.push(event());
        request.answer(vec![event()]);
        count.answer(vec![RelayMessage::Notice("a count".into())]);
        assert_eq!(outbox.taken(), [r#"["EVENT","a",1]"#, r#"["NOTICE","a count"]"#]);
    }

    #[test]
    fn a_panic_ends_no_other_read() {
        let read_queue = ReadQueue::default();
        for number in 0..3 {
            read_queue.push(QueuedRead { read: read(number, EVENTS), outbox: None });
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
