//! The relay's engine: what is to be done about a message.

mod query;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::event::Retention;
use openagents_host::sql::{SchemaError, Sql, SqlError};
use openagents_host::{Engine, EventId, Timestamp, VerifiedEvent};

use crate::check::{self, Checked};
use crate::filter::Filter;
use crate::handover::HandOverRule;
use crate::limits::Limits;
use crate::message::{ClientMessage, RelayMessage, SubscriptionId};
use crate::reason::{Outcome, Prefix, Reason};
use crate::store::{Insertion, Store, Viewer};
use crate::subscriptions::Subscriptions;

/// A connection, under the number that its shell gave it. No two that are open have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// The connection of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Reads what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 16 {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A publication or a query from inside, under the number that its shell gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a relay is like.
#[derive(Clone, Debug, Default)]
pub struct RelayConfig {
    /// What it accepts at most.
    pub limits: Limits,
    /// The events that somebody outside wants: each such event that is accepted is handed over, again and
    /// again until it is [`Delivered`](Input::Delivered).
    pub handover: HandOverRule,
}

/// What happens to a relay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A connection was made.
    Open(ConnectionId),
    /// A text came over a connection. It is checked here: for hosts with one thread.
    Text {
        /// Which one.
        connection: ConnectionId,
        /// The text.
        text: String,
    },
    /// A message came over a connection and has been [checked](check::check) already: for hosts with many threads.
    Message {
        /// Which one.
        connection: ConnectionId,
        /// The message.
        message: Checked,
    },
    /// A connection ended.
    Close(ConnectionId),
    /// Somebody inside, an agent, publishes an event. The limits are for strangers and do not apply.
    Publish {
        /// Under which number the outcome is to be reported.
        ticket: Ticket,
        /// The event.
        event: VerifiedEvent,
    },
    /// Somebody inside, an agent, asks for stored events.
    Query {
        /// Under which number they are to be reported.
        ticket: Ticket,
        /// What each of them must match one of.
        filters: Vec<Filter>,
    },
    /// An event that was [handed over](Effect::HandOver) has arrived.
    Delivered(EventId),
}

/// What is to be done. Effects are carried out in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Send a message. Every `EVENT` of a client brings exactly one `OK`, every `REQ` exactly one
    /// `EOSE` or `CLOSED`, whatever goes wrong.
    Send {
        /// Over which connection.
        connection: ConnectionId,
        /// What.
        message: RelayMessage,
    },
    /// The state of a connection has changed: a host that may forget keeps what [`Relay::saved`] gives.
    SessionChanged(ConnectionId),
    /// Give an event to whoever registered for such events, and report when that was done.
    HandOver(VerifiedEvent),
    /// A publication was decided.
    Published {
        /// Which one.
        ticket: Ticket,
        /// How.
        outcome: Outcome,
    },
    /// A query was answered.
    Found {
        /// Which one.
        ticket: Ticket,
        /// The events as JSON, in the order of a `REQ`'s answer and each once; or why there is no answer.
        events: Result<Vec<Arc<str>>, Reason>,
    },
    /// The database failed: something for the operator's log. Whoever waited has been answered.
    Failed(SqlError),
}

/// The relay.
#[derive(Debug)]
pub struct Relay<S> {
    store: Store<S>,
    subscriptions: Subscriptions,
    config: RelayConfig,
    /// Not later than the next handover is due. It may be earlier: then there is nothing to do.
    next_handover: Option<Timestamp>,
}

/// How long to leave the database alone when it failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

impl<S: Sql> Relay<S> {
    /// Opens a relay on a database: a new one, or one that it had before.
    ///
    /// # Errors
    /// When the database is of a later release or fails.
    pub fn open(sql: S, config: RelayConfig) -> Result<Self, SchemaError> {
        let store = Store::open(sql)?;
        let next_handover = store.next_handover()?;
        Ok(Self { store, subscriptions: Subscriptions::default(), config, next_handover })
    }

    /// Hands over at once what is waiting to be: the process that was to get it has just started.
    ///
    /// # Errors
    /// When the database fails.
    pub fn hurry_handovers(&mut self, now: Timestamp) -> Result<(), SqlError> {
        self.store.hurry_handovers(now)?;
        self.next_handover = self.store.next_handover()?;
        Ok(())
    }

    /// What it keeps.
    pub const fn store(&self) -> &Store<S> {
        &self.store
    }

    /// What it accepts at most.
    pub const fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// All open connections.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.subscriptions.connections()
    }

    /// The state of a connection, as compact JSON.
    #[must_use]
    pub fn saved(&self, connection: ConnectionId) -> String {
        self.subscriptions.saved(connection)
    }

    /// Takes up a connection that was open before the host forgot everything, in the state that was
    /// [`saved`](Self::saved).
    pub fn restore(&mut self, connection: ConnectionId, saved: &str) {
        self.subscriptions.restore(connection, saved, &self.config.limits);
    }

    fn message(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: &Checked,
        effects: &mut Vec<Effect>,
    ) {
        match message {
            Checked::Event(event) => {
                let told = effects.len();
                let outcome = self.publish(now, event, effects);
                // The sender learns first that its event is safe.
                effects.insert(told, answer(connection, event.id, outcome));
            }
            Checked::Request { subscription, filters } => {
                self.request(now, connection, subscription, filters, effects);
            }
            Checked::Close(subscription) => self.unsubscribe(connection, subscription, effects),
            Checked::Refused(message) => {
                if let RelayMessage::Closed { subscription, .. } = message {
                    // A subscription of this name would go on under a name that the client takes for closed.
                    self.unsubscribe(connection, subscription, effects);
                }
                effects.push(Effect::Send { connection, message: message.clone() });
            }
        }
    }

    /// Checks a text step by step, the cheapest first: what is stored need not be verified again.
    fn text(&mut self, now: Timestamp, connection: ConnectionId, text: &str, effects: &mut Vec<Effect>) {
        let message = match check::read(text, &self.config.limits, now) {
            Ok(ClientMessage::Event(event)) if self.is_stored(&event.id, effects) => {
                effects.push(answer(connection, event.id, Outcome::Duplicate));
                return;
            }
            Ok(message) => check::verify(message),
            Err(refusal) => Checked::Refused(refusal),
        };
        self.message(now, connection, &message, effects);
    }

    fn is_stored(&self, id: &EventId, effects: &mut Vec<Effect>) -> bool {
        self.store.contains(id).unwrap_or_else(|error| {
            effects.push(Effect::Failed(error));
            false
        })
    }

    fn publish(&mut self, now: Timestamp, event: &VerifiedEvent, effects: &mut Vec<Effect>) -> Outcome {
        match self.accept(now, event) {
            Ok(Acceptance::Duplicate) => Outcome::Duplicate,
            Ok(Acceptance::Superseded) => Outcome::Refused(Reason::invalid(
                "a newer version of this event is stored; this one is not needed",
            )),
            Ok(Acceptance::Refused(why)) => Outcome::Refused(Reason::invalid(format!("{why:?}"))),
            Ok(Acceptance::New { handed_over }) => {
                let heard = self.broadcast(event, effects);
                if let Some(due) = handed_over {
                    self.next_handover = Some(self.next_handover.map_or(due, |next| next.min(due)));
                    effects.push(Effect::HandOver(event.clone()));
                }
                let kept = event.kind.retention() != Retention::Ephemeral;
                if kept || heard || handed_over.is_some() {
                    Outcome::Accepted
                } else {
                    Outcome::Refused(Reason::new(
                        Prefix::Mute,
                        "nobody was listening to this ephemeral event",
                    ))
                }
            }
            Err(error) => {
                effects.push(Effect::Failed(error));
                Outcome::Refused(Reason::storage())
            }
        }
    }

    /// Stores an event, and that it is to be handed over, in one transaction.
    fn accept(&self, now: Timestamp, event: &VerifiedEvent) -> Result<Acceptance, SqlError> {
        let kept = event.kind.retention() != Retention::Ephemeral;
        let wanted = self.config.handover.wants(event);
        let hand_over = || Ok(Acceptance::New { handed_over: Some(self.store.hand_over(now, event, kept)?) });
        match (kept, wanted) {
            (false, false) => Ok(Acceptance::New { handed_over: None }),
            (false, true) => hand_over(),
            (true, false) => Ok(self.store.insert(now, event)?.into()),
            (true, true) => self.store.sql().transaction(|| match self.store.insert(now, event)? {
                Insertion::Inserted => hand_over(),
                other => Ok(other.into()),
            }),
        }
    }

    /// Tells everybody whose subscription an event belongs to, and says whether that was anybody.
    fn broadcast(&self, event: &VerifiedEvent, effects: &mut Vec<Effect>) -> bool {
        let before = effects.len();
        effects.extend(self.subscriptions.matching(event).map(|(connection, subscription)| Effect::Send {
            connection,
            message: RelayMessage::Event { subscription: subscription.clone(), event: event.json().clone() },
        }));
        effects.len() > before
    }

    /// Subscribes and answers from the store. Nothing can come between the two: no event is missed or sent twice.
    fn request(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        filters: &[Filter],
        effects: &mut Vec<Effect>,
    ) {
        if !self.subscriptions.is_open(connection) {
            return;
        }
        let send = |message| Effect::Send { connection, message };
        let subscribed = self.subscriptions.subscribe(connection, subscription, filters, &self.config.limits);
        let answered = subscribed.and_then(|()| {
            let queried =
                self.store.query(now, filters, &self.config.limits, &Viewer::everything(), &mut |event| {
                    effects.push(send(RelayMessage::Event { subscription: subscription.clone(), event }));
                });
            queried.map(drop).map_err(|error| {
                effects.push(Effect::Failed(error));
                Reason::storage()
            })
        });
        match answered {
            Ok(()) => {
                effects.push(send(RelayMessage::EndOfStoredEvents(subscription.clone())));
                effects.push(Effect::SessionChanged(connection));
            }
            Err(reason) => {
                self.unsubscribe(connection, subscription, effects);
                effects.push(send(RelayMessage::Closed { subscription: subscription.clone(), reason }));
            }
        }
    }

    fn unsubscribe(
        &mut self,
        connection: ConnectionId,
        subscription: &SubscriptionId,
        effects: &mut Vec<Effect>,
    ) {
        if self.subscriptions.unsubscribe(connection, subscription) {
            effects.push(Effect::SessionChanged(connection));
        }
    }
}

/// What was written for an event that came in.
enum Acceptance {
    /// It was not there before; if somebody is to get it, its delivery is due again at this time.
    New {
        handed_over: Option<Timestamp>,
    },
    Duplicate,
    Superseded,
    Refused(Insertion),
}

impl From<Insertion> for Acceptance {
    fn from(insertion: Insertion) -> Self {
        match insertion {
            Insertion::Inserted => Self::New { handed_over: None },
            Insertion::Duplicate => Self::Duplicate,
            Insertion::Superseded => Self::Superseded,
            other => Self::Refused(other),
        }
    }
}

const fn answer(connection: ConnectionId, id: EventId, outcome: Outcome) -> Effect {
    Effect::Send { connection, message: RelayMessage::Ok { id, outcome } }
}

impl<S: Sql> Engine for Relay<S> {
    type Sql = S;
    type Input = Input;
    type Effect = Effect;

    fn sql(&self) -> &S {
        self.store.sql()
    }

    fn handle(&mut self, now: Timestamp, input: &Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Open(connection) => self.subscriptions.open(*connection),
            Input::Text { connection, text } => self.text(now, *connection, text, effects),
            Input::Message { connection, message } => self.message(now, *connection, message, effects),
            Input::Close(connection) => self.subscriptions.close(*connection),
            Input::Publish { ticket, event } => {
                let outcome = self.publish(now, event, effects);
                effects.push(Effect::Published { ticket: *ticket, outcome });
            }
            Input::Query { ticket, filters } => {
                let events = self.query(now, filters, effects);
                effects.push(Effect::Found { ticket: *ticket, events });
            }
            Input::Delivered(id) => {
                if let Err(error) = self.store.delivered(id) {
                    // It stays due and is handed over again.
                    effects.push(Effect::Failed(error));
                }
            }
        }
    }

    fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let due = self.store.due_handovers(now).and_then(|due| Ok((due, self.store.next_handover()?)));
        match due {
            Ok((due, next)) => {
                effects.extend(due.into_iter().map(Effect::HandOver));
                self.next_handover = next;
            }
            Err(error) => {
                effects.push(Effect::Failed(error));
                self.next_handover = Some(now + PAUSE_AFTER_FAILURE);
            }
        }
    }

    fn next_alarm(&self) -> Option<Timestamp> {
        self.next_handover
    }

    fn forget(&mut self, _: Timestamp) {
        let saved: Vec<_> =
            self.connections().map(|connection| (connection, self.saved(connection))).collect();
        // What cannot be opened again is not forgotten.
        let Ok(reopened) = Self::open(self.sql().clone(), self.config.clone()) else { return };
        *self = reopened;
        for (connection, state) in saved {
            self.restore(connection, &state);
        }
    }

    fn rolled_back(&mut self) {
        // What was due may be due again. If even this cannot be read, the next alarm finds out.
        self.next_handover = self.store.next_handover().unwrap_or(Some(Timestamp::EPOCH));
    }
}

#[cfg(test)]
mod tests;
