//! The table of open connections, on which the engine's effects are carried out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openagents_host::VerifiedEvent;
use openagents_host::native::Tickets;
use tokio::sync::mpsc;

use super::gate::Gate;
use super::outbox::{ClientMemory, CloseReason, MemoryPart, Outbox, SharedTexts};
use super::read_queue::{QueuedRead, ReadQueue};
use crate::admission::memory::{MemoryHolder, sort_by_memory};
use crate::engine::Effect;
use crate::management::{ManagementReply, UsedToken};
use crate::reason::{Outcome, Reason};
use crate::session::ConnectionId;
use openagents_host::nostr::message::RelayMessage;

/// If the effects of a batch concern at most this many connections, the engine thread writes them to the sockets
/// itself.
const MAX_WRITTEN_INLINE: usize = 4;

/// The events found by a query, as JSON.
pub(super) type QueryReply = Result<Vec<Arc<str>>, Reason>;

/// The open connections, and the calls from inside the process that await a reply.
#[derive(Default)]
pub(super) struct ConnectionTable {
    /// The memory that all connections together take.
    pub(super) memory: Arc<ClientMemory>,
    outboxes: Mutex<HashMap<ConnectionId, Arc<Outbox>>>,
    pub(super) publications: Tickets<Outcome>,
    pub(super) queries: Tickets<QueryReply>,
    pub(super) calls: Tickets<Result<ManagementReply, UsedToken>>,
    pub(super) events_accepted: AtomicU64,
    pub(super) events_refused: AtomicU64,
    pub(super) events_sent: AtomicU64,
}

impl ConnectionTable {
    pub(super) fn outboxes(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Outbox>>> {
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close_all(&self) {
        self.outboxes().values().for_each(|outbox| outbox.close(CloseReason::GOING_AWAY));
    }

    /// Carries out the effects of a committed batch. Runs on the engine thread and never blocks.
    pub(super) fn apply(
        &self,
        effects: &mut Vec<Effect>,
        deliveries: &mpsc::Sender<VerifiedEvent>,
        gate: &Gate,
        read_queue: &ReadQueue,
    ) {
        let mut to_wake = Vec::new();
        {
            let outboxes = self.outboxes();
            let mut texts = SharedTexts::of(&self.memory);
            for effect in effects.drain(..) {
                match effect {
                    Effect::Send { connection, message } => {
                        self.count(&message);
                        if let Some(outbox) = outboxes.get(&connection)
                            && outbox.push_shared(message, &mut texts)
                        {
                            to_wake.push(Arc::clone(outbox));
                        }
                    }
                    Effect::Read(read) => {
                        if let Some(outbox) = outboxes.get(&read.connection) {
                            read_queue.push(QueuedRead::new(read, outbox));
                        }
                    }
                    Effect::Answering { connection, subscription } => {
                        if let Some(outbox) = outboxes.get(&connection) {
                            outbox.begin_answer(subscription);
                        }
                    }
                    Effect::Published { ticket, outcome } => {
                        self.publications.redeem(ticket.0, outcome);
                    }
                    Effect::Found { ticket, events } => self.queries.redeem(ticket.0, events),
                    Effect::Managed { ticket, answer } => self.calls.redeem(ticket.0, answer),
                    Effect::RulesChanged(rules) => gate.set_rules(rules),
                    Effect::Disconnect(connection) => {
                        if let Some(outbox) = outboxes.get(&connection) {
                            outbox.close(CloseReason::UNWANTED);
                        }
                    }
                    Effect::MemoryChanged { connection, bytes } => {
                        if let Some(outbox) = outboxes.get(&connection) {
                            outbox.set_memory(MemoryPart::Subscriptions, bytes);
                        }
                    }
                    Effect::HandOver(event) => {
                        // If the queue is full, the event is retried later.
                        let _ = deliveries.try_send(event);
                    }
                    Effect::Failed(error) => tracing::error!(%error, "the relay's database failed"),
                    // A process that ends loses its connections as well, so their sessions need not be saved. The
                    // engine's thread does not begin turns.
                    Effect::SessionChanged(_) | Effect::Continue(_) => {}
                }
            }
        }
        // Writers are woken only now, when each outbox has all messages of the batch and can send them in one write.
        // For a few connections the write is done right here, which saves a task switch; many are spread over all
        // cores.
        let inline = to_wake.len() <= MAX_WRITTEN_INLINE;
        to_wake.iter().for_each(|outbox| outbox.wake_writer(inline));
        self.close_largest();
    }

    /// While all connections together take too much memory, closes some, [in this order](sort_by_memory).
    pub(super) fn close_largest(&self) {
        if !self.memory.is_too_much() {
            return;
        }
        let outboxes = self.outboxes();
        let holder = |outbox: &Arc<Outbox>| MemoryHolder {
            connection: Arc::clone(outbox),
            network: outbox.network(),
            bytes: outbox.memory(),
        };
        let mut holders: Vec<_> = outboxes.values().map(holder).collect();
        holders.retain(|holder| holder.bytes > 0);
        sort_by_memory(&mut holders);
        for holder in holders {
            if !self.memory.is_too_much() {
                return;
            }
            holder.connection.drop_and_close(CloseReason::TOO_MUCH_MEMORY);
        }
    }

    pub(super) fn count(&self, message: &RelayMessage) {
        let counter = match message {
            RelayMessage::Event { .. } => &self.events_sent,
            RelayMessage::Ok { outcome, .. } if outcome.is_accepted() => &self.events_accepted,
            RelayMessage::Ok { .. } => &self.events_refused,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::{ConnectionTable, Gate, ReadQueue, SharedTexts};
    use crate::admission::Admission;
    use crate::engine::Effect;
    use crate::limits::Limits;
    use crate::native::server::outbox::tests::{memory, stuck};
    use crate::native::server::outbox::{CloseReason, MemoryPart};
    use crate::session::ConnectionId;
    use openagents_host::nostr::message::{Completeness, RelayMessage, SubscriptionId};

    #[test]
    fn closes_the_largest_queues_first() {
        let memory = memory(3_000);
        let connections = ConnectionTable { memory: Arc::clone(&memory), ..ConnectionTable::default() };
        let outboxes: Vec<_> = (0..4).map(|_| stuck(&memory)).collect();
        for (number, outbox) in (0..).zip(&outboxes) {
            connections.outboxes().insert(ConnectionId::new(number), Arc::clone(outbox));
        }
        let push = |number: usize, length: usize| {
            let subscription = SubscriptionId::new("n").unwrap();
            let _ =
                outboxes[number].push(RelayMessage::Reconcile { subscription, message: "x".repeat(length) });
        };
        let fill = |number: usize, length: usize| {
            push(number, length);
            connections.close_largest();
            outboxes.iter().map(|outbox| outbox.close_reason()).collect::<Vec<_>>()
        };
        assert_eq!(fill(0, 1_000), [None; 4]);
        assert_eq!(fill(1, 1_500), [None; 4]);
        let fullest = Some(CloseReason::TOO_MUCH_MEMORY);
        assert_eq!(fill(2, 1_000), [None, fullest, None, None]);
        assert_eq!(fill(3, 500), [None, fullest, None, None]);
        assert_eq!(fill(3, 2_000), [None, fullest, None, fullest]);
        assert_eq!(fill(3, 9_000), [None, fullest, None, fullest], "it is closed already");
        // Only as many as necessary.
        push(0, 8_000);
        assert_eq!(fill(2, 8_000), [fullest; 4]);
    }

    #[test]
    fn subscriptions_and_unfinished_messages_count_like_what_waits_to_be_sent() {
        let memory = memory(10_000);
        let connections = ConnectionTable { memory: Arc::clone(&memory), ..ConnectionTable::default() };
        let outboxes: Vec<_> = (0..2).map(|_| stuck(&memory)).collect();
        for (number, outbox) in (0..).zip(&outboxes) {
            connections.outboxes().insert(ConnectionId::new(number), Arc::clone(outbox));
        }
        let gate = Gate::new(&Limits::default(), &Admission::default());
        let subscribed = |number, bytes| {
            let connection = ConnectionId::new(number);
            let mut effects = vec![Effect::MemoryChanged { connection, bytes }];
            connections.apply(&mut effects, &mpsc::channel(1).0, &gate, &ReadQueue::default());
            outboxes.iter().map(|outbox| outbox.close_reason().is_some()).collect::<Vec<_>>()
        };
        assert_eq!(subscribed(0, 6_000), [false, false]);
        assert_eq!(subscribed(1, 3_000), [false, false]);
        assert_eq!(subscribed(1, 2_000), [false, false], "less than before");
        outboxes[1].set_memory(MemoryPart::UnfinishedMessage, 1_500);
        let usage = memory.usage();
        assert_eq!((usage.subscriptions, usage.unfinished_messages, usage.output), (8_000, 1_500, 0));
        assert_eq!(subscribed(0, 6_501), [true, false]);
        assert_eq!(subscribed(0, 9_000), [true, false], "what is closed is counted no longer");
        assert_eq!(memory.total(), 3_500);
        connections.outboxes().clear();
        drop(outboxes);
        assert_eq!((memory.total(), memory.usage().subscriptions), (0, 0));
    }

    #[test]
    fn an_inline_answer_keeps_events_that_an_earlier_one_has_too() {
        let connections = ConnectionTable { memory: memory(9_000), ..ConnectionTable::default() };
        let (connection, outbox) = (ConnectionId::new(1), stuck(&connections.memory));
        connections.outboxes().insert(connection, Arc::clone(&outbox));
        let subscription = SubscriptionId::new("a").unwrap();
        let answer = || {
            let (subscription, completeness) = (subscription.clone(), Completeness::Finished);
            let event = RelayMessage::Event { subscription: subscription.clone(), event: "1".into() };
            [event, RelayMessage::EndOfStoredEvents { subscription, completeness }]
        };
        let earlier = outbox.reserve(Some(&subscription), 0);
        let mut effects = vec![Effect::Answering { connection, subscription: subscription.clone() }];
        effects.extend(answer().map(|message| Effect::Send { connection, message }));
        let gate = Gate::new(&Limits::default(), &Admission::default());
        connections.apply(&mut effects, &mpsc::channel(1).0, &gate, &ReadQueue::default());
        outbox.answer(earlier, answer().into());
        assert_eq!(outbox.taken().len(), 4);
    }

    #[test]
    fn a_shared_text_counts_once_until_its_last_recipient_has_it() {
        let memory = memory(10_000);
        let connections = ConnectionTable { memory: Arc::clone(&memory), ..ConnectionTable::default() };
        let outboxes: Vec<_> = (0..8).map(|_| stuck(&memory)).collect();
        for (number, outbox) in (0..).zip(&outboxes) {
            connections.outboxes().insert(ConnectionId::new(number), Arc::clone(outbox));
        }
        let push_shared = |numbers: &[usize]| {
            let event: Arc<str> = "x".repeat(3_000).into();
            let mut texts = SharedTexts::of(&memory);
            for number in numbers {
                let subscription = SubscriptionId::new("n").unwrap();
                let message = RelayMessage::Event { subscription, event: Arc::clone(&event) };
                let _ = outboxes[*number].push_shared(message, &mut texts);
            }
            drop(texts);
            connections.close_largest();
            (0..)
                .zip(&outboxes)
                .filter(|(_, outbox)| outbox.close_reason().is_some())
                .map(|(n, _)| n)
                .collect()
        };
        let none: Vec<usize> = Vec::new();
        // Sent to many, it counts as one text with a small share for each, so none of them is closed because others
        // use more.
        assert_eq!(push_shared(&[0, 1, 2, 3]), none);
        // A client that has read it does not reduce the share of those who have not.
        let _ = (
            outboxes[1].drop_and_close(CloseReason::NORMAL),
            outboxes[2].drop_and_close(CloseReason::NORMAL),
        );
        assert_eq!(push_shared(&[4]), [1, 2]);
        assert_eq!(push_shared(&[5]), [1, 2]);
        // Each gets a different event, as with a tag that only one of them subscribed to.
        let closed: Vec<usize> = push_shared(&[6]);
        assert!(closed.len() == 3 && closed[2] >= 4, "{closed:?}");
        connections.outboxes().clear();
        drop(outboxes);
        assert_eq!(memory.total(), 0);
    }
}
