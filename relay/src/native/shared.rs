//! What the connections, the engine's thread and the handle share.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use openagents_host::VerifiedEvent;
use openagents_host::native::{Inputs, Stopped};
use tokio::sync::mpsc;

use super::entrance::Entrance;
use super::outbox::{Farewell, Held, Outbox, Texts};
use super::readers::{Question, Questions};
use super::tickets::Tickets;
use crate::filter::Filter;
use crate::information::RelayInformation;
use crate::limits::Limits;
use crate::management::{Answer, SignedCall, UsedToken};
use crate::message::RelayMessage;
use crate::reason::{Outcome, Reason};
use crate::relay::{ConnectionId, Effect, Input, Ticket};
use crate::session::Origin;

/// To how many connections the effects of a batch are written by whoever applies them.
const WRITTEN_AT_ONCE: usize = 4;

/// What goes on in a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStatistics {
    /// Open connections.
    pub connections: usize,
    /// Events that clients sent and the relay took, since it started.
    pub events_accepted: u64,
    /// Events that clients sent and the relay did not take, since it started.
    pub events_refused: u64,
    /// Events that were sent to clients, since it started.
    pub events_sent: u64,
}

pub(super) struct Shared {
    pub(super) inputs: Inputs<Input>,
    pub(super) connections: Arc<Connections>,
    pub(super) limits: Limits,
    pub(super) entrance: Arc<Entrance>,
    information: RelayInformation,
    next: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        inputs: Inputs<Input>,
        connections: Arc<Connections>,
        limits: Limits,
        entrance: Arc<Entrance>,
        information: RelayInformation,
    ) -> Self {
        Self { inputs, connections, limits, entrance, information, next: AtomicU64::new(1) }
    }

    /// The relay information document, as it is at present.
    pub(super) fn information(&self) -> Bytes {
        self.information.under(&self.entrance.rules()).to_json().into()
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) async fn all_connections_ended(&self) {
        while !self.connections.outboxes().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Takes up a connection.
    pub(super) async fn open(&self, outbox: &Arc<Outbox>, origin: Origin) -> Result<ConnectionId, Stopped> {
        let connection = ConnectionId::new(self.next());
        self.connections.outboxes().insert(connection, Arc::clone(outbox));
        if let Err(stopped) = self.inputs.send(Input::Open { connection, origin }).await {
            self.connections.outboxes().remove(&connection);
            return Err(stopped);
        }
        Ok(connection)
    }

    pub(super) async fn publish(&self, event: VerifiedEvent) -> Result<Outcome, Stopped> {
        self.ask(&self.connections.publications, |ticket| Input::Publish { ticket, event }).await
    }

    pub(super) async fn query(&self, filters: Vec<Filter>) -> Result<Found, Stopped> {
        self.ask(&self.connections.queries, |ticket| Input::Query { ticket, filters }).await
    }

    pub(super) async fn manage(&self, call: SignedCall) -> Result<Result<Answer, UsedToken>, Stopped> {
        self.ask(&self.connections.calls, |ticket| Input::Manage { ticket, call }).await
    }

    async fn ask<T>(&self, tickets: &Tickets<T>, input: impl FnOnce(Ticket) -> Input) -> Result<T, Stopped> {
        let ticket = Ticket(self.next());
        let answer = tickets.issue(ticket);
        if let Err(stopped) = self.inputs.send(input(ticket)).await {
            tickets.withdraw(ticket);
            return Err(stopped);
        }
        answer.await.map_err(|_| Stopped)
    }

    pub(super) fn statistics(&self) -> RelayStatistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayStatistics {
            connections: self.entrance.max_connections().min(self.connections.outboxes().len()),
            events_accepted: count(&self.connections.events_accepted),
            events_refused: count(&self.connections.events_refused),
            events_sent: count(&self.connections.events_sent),
        }
    }
}

/// The events that a query found, as JSON.
type Found = Result<Vec<Arc<str>>, Reason>;

/// Where effects go.
#[derive(Default)]
pub(super) struct Connections {
    /// By all outboxes together.
    pub(super) held: Arc<Held>,
    outboxes: Mutex<HashMap<ConnectionId, Arc<Outbox>>>,
    publications: Tickets<Outcome>,
    queries: Tickets<Found>,
    calls: Tickets<Result<Answer, UsedToken>>,
    events_accepted: AtomicU64,
    events_refused: AtomicU64,
    events_sent: AtomicU64,
}

impl Connections {
    pub(super) fn outboxes(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<Outbox>>> {
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close_all(&self) {
        self.outboxes().values().for_each(|outbox| outbox.close(Farewell::GOING_AWAY));
    }

    /// Carries out the effects of a batch, which is committed. On the engine's thread: nothing here waits.
    pub(super) fn apply(
        &self,
        effects: &mut Vec<Effect>,
        deliveries: &mpsc::Sender<VerifiedEvent>,
        entrance: &Entrance,
        questions: &Questions,
    ) {
        let mut to_call = Vec::new();
        {
            let outboxes = self.outboxes();
            let mut texts = Texts::of(&self.held);
            for effect in effects.drain(..) {
                match effect {
                    Effect::Send { connection, message } => {
                        self.count(&message);
                        if let Some(outbox) = outboxes.get(&connection)
                            && outbox.tell(message, &mut texts)
                        {
                            to_call.push(Arc::clone(outbox));
                        }
                    }
                    Effect::Read(reading) => {
                        if let Some(outbox) = outboxes.get(&reading.connection) {
                            questions.ask(Question::new(reading, outbox));
                        }
                    }
                    Effect::Answering { connection, subscription } => {
                        if let Some(outbox) = outboxes.get(&connection) {
                            outbox.begin_answer(subscription);
                        }
                    }
                    Effect::Published { ticket, outcome } => {
                        self.publications.redeem(ticket, outcome);
                    }
                    Effect::Found { ticket, events } => self.queries.redeem(ticket, events),
                    Effect::Managed { ticket, answer } => self.calls.redeem(ticket, answer),
                    Effect::RulesChanged(rules) => entrance.set_rules(rules),
                    Effect::Disconnect(connection) => {
                        if let Some(outbox) = outboxes.get(&connection) {
                            outbox.close(Farewell::UNWANTED);
                        }
                    }
                    Effect::HandOver(event) => {
                        // What finds no room is due again.
                        let _ = deliveries.try_send(event);
                    }
                    Effect::Failed(error) => tracing::error!(%error, "the relay's database failed"),
                    // A process that forgets loses its connections as well.
                    Effect::SessionChanged(_) => {}
                }
            }
        }
        // Called only now, each outbox has all that the batch has for it, and writes it together. A few are written here,
        // which saves the way over the writers; many are spread over all cores.
        let at_once = to_call.len() <= WRITTEN_AT_ONCE;
        to_call.iter().for_each(|outbox| outbox.call(at_once));
        self.close_the_fullest();
    }

    /// Closes connections while too much memory is held for all of them: those for which most is come first.
    pub(super) fn close_the_fullest(&self) {
        if !self.held.is_too_much() {
            return;
        }
        let outboxes = self.outboxes();
        let mut fullest: Vec<_> = outboxes.values().map(|outbox| (outbox.held(), outbox)).collect();
        fullest.retain(|(held, _)| *held > 0);
        fullest.sort_unstable_by_key(|(held, _)| Reverse(*held));
        for (_, outbox) in fullest {
            if !self.held.is_too_much() {
                return;
            }
            outbox.give_up(Farewell::FULLEST);
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

    use super::{Connections, Entrance, Questions, Texts};
    use crate::admission::Admission;
    use crate::limits::Limits;
    use crate::message::{Completeness, RelayMessage, SubscriptionId};
    use crate::native::outbox::Farewell;
    use crate::native::outbox::tests::{held, stuck};
    use crate::relay::{ConnectionId, Effect};

    #[test]
    fn those_for_whom_most_is_held_are_closed_first() {
        let held = held(3_000);
        let connections = Connections { held: Arc::clone(&held), ..Connections::default() };
        let outboxes: Vec<_> = (0..4).map(|_| stuck(&held)).collect();
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
            connections.close_the_fullest();
            outboxes.iter().map(|outbox| outbox.farewell()).collect::<Vec<_>>()
        };
        assert_eq!(fill(0, 1_000), [None; 4]);
        assert_eq!(fill(1, 1_500), [None; 4]);
        let fullest = Some(Farewell::FULLEST);
        assert_eq!(fill(2, 1_000), [None, fullest, None, None]);
        assert_eq!(fill(3, 500), [None, fullest, None, None]);
        assert_eq!(fill(3, 2_000), [None, fullest, None, fullest]);
        assert_eq!(fill(3, 9_000), [None, fullest, None, fullest], "it is closed already");
        // As many as have to be.
        push(0, 8_000);
        assert_eq!(fill(2, 8_000), [fullest; 4]);
    }

    #[test]
    fn an_answer_at_once_keeps_what_an_earlier_one_of_its_name_has_too() {
        let connections = Connections { held: held(9_000), ..Connections::default() };
        let (connection, outbox) = (ConnectionId::new(1), stuck(&connections.held));
        connections.outboxes().insert(connection, Arc::clone(&outbox));
        let subscription = SubscriptionId::new("a").unwrap();
        let answer = || {
            let (subscription, completeness) = (subscription.clone(), Completeness::Finished);
            let event = RelayMessage::Event { subscription: subscription.clone(), event: "1".into() };
            [event, RelayMessage::EndOfStoredEvents { subscription, completeness }]
        };
        let earlier = outbox.reserve(Some(&subscription));
        let mut effects = vec![Effect::Answering { connection, subscription: subscription.clone() }];
        effects.extend(answer().map(|message| Effect::Send { connection, message }));
        let entrance = Entrance::new(&Limits::default(), &Admission::default());
        connections.apply(&mut effects, &mpsc::channel(1).0, &entrance, &Questions::default());
        outbox.answer(earlier, answer().into());
        assert_eq!(outbox.taken().len(), 4);
    }

    #[test]
    fn a_text_counts_once_and_until_the_last_who_is_told_it_lets_go() {
        let held = held(10_000);
        let connections = Connections { held: Arc::clone(&held), ..Connections::default() };
        let outboxes: Vec<_> = (0..8).map(|_| stuck(&held)).collect();
        for (number, outbox) in (0..).zip(&outboxes) {
            connections.outboxes().insert(ConnectionId::new(number), Arc::clone(outbox));
        }
        let tell = |numbers: &[usize]| {
            let event: Arc<str> = "x".repeat(3_000).into();
            let mut texts = Texts::of(&held);
            for number in numbers {
                let subscription = SubscriptionId::new("n").unwrap();
                let message = RelayMessage::Event { subscription, event: Arc::clone(&event) };
                let _ = outboxes[*number].tell(message, &mut texts);
            }
            drop(texts);
            connections.close_the_fullest();
            (0..).zip(&outboxes).filter(|(_, outbox)| outbox.farewell().is_some()).map(|(n, _)| n).collect()
        };
        let none: Vec<usize> = Vec::new();
        // To many: one text, and so little of it for each that none of them is closed for those who take more.
        assert_eq!(tell(&[0, 1, 2, 3]), none);
        // Whoever has read it does not relieve those who have not.
        let _ = (outboxes[1].give_up(Farewell::NORMAL), outboxes[2].give_up(Farewell::NORMAL));
        assert_eq!(tell(&[4]), [1, 2]);
        assert_eq!(tell(&[5]), [1, 2]);
        // Each its own, as by a tag that nobody else asks for.
        let closed: Vec<usize> = tell(&[6]);
        assert!(closed.len() == 3 && closed[2] >= 4, "{closed:?}");
        connections.outboxes().clear();
        drop(outboxes);
        assert_eq!(held.total(), 0);
    }
}
