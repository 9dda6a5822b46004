//! The relay's engine: what is to be done about a message.

mod crowd;
mod identification;
mod management;
mod query;
mod reading;
mod reconciliation;
mod removal;
mod screening;
mod searching;
mod writing;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::sql::{SchemaError, Sql, SqlError};
use openagents_host::{Engine, EventId, Timestamp, VerifiedEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::crowd::Ahead;
use self::crowd::Foresight;
pub use self::reading::{Inquiry, Reading};
pub use self::reconciliation::Reconciled;
use self::searching::Indexing;
use crate::access::Access;
use crate::admission::{Admission, Network, NoEntry, Rates};
use crate::check::{self, Checked};
use crate::filter::Filter;
use crate::handover::HandOverRule;
use crate::limits::Limits;
use crate::management::{Answer, Rules, SignedCall, UsedToken};
use crate::message::{ClientMessage, RelayMessage, SubscriptionId};
use crate::reason::{Outcome, Reason};
use crate::reconciliation::Reconciliations;
use crate::retention::RetentionRules;
use crate::session::{ClientSession, Origin};
use crate::store::Store;
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

    /// The connection's number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
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
    /// Who has to identify themselves, and for what.
    pub access: Access,
    /// From whom, of what and how much it takes.
    pub admission: Admission,
    /// How long it keeps what.
    pub retention: RetentionRules,
    /// The events that somebody outside wants: each such event that is accepted is handed over, again and
    /// again until it is [`Delivered`](Input::Delivered).
    pub handover: HandOverRule,
}

/// What happens to a relay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A connection was made.
    Open {
        /// Which one.
        connection: ConnectionId,
        /// What is known about it.
        origin: Origin,
    },
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
    /// What was to be [read](Effect::Read) could not be.
    Unreadable {
        /// What.
        reading: Reading,
        /// Why.
        error: SqlError,
    },
    /// What was [read](Effect::Read) answered a step of a reconciliation.
    Reconciled(Reconciled),
    /// An operator of the relay, whom the shell knows for one, manages it (NIP-86).
    Manage {
        /// Under which number the answer is to be reported.
        ticket: Ticket,
        /// What is wanted, and by which token: each changes something once.
        call: SignedCall,
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
    /// Answer a `REQ`, a `COUNT` or a step of a reconciliation from the store: only where the host [reads beside](Relay::read_beside) the engine.
    ///
    /// What the engine sends to this connection from here on comes after the answer. The answer is to be read from a
    /// state in which everything is that was committed with this effect, and an event of the subscription
    /// that is in it must not be sent a second time when the engine tells of it as new.
    Read(Reading),
    /// What the engine sends to this connection next, up to the end of stored events, answers a `REQ` of this name. A
    /// host that [reads beside](Relay::read_beside) the engine may have an answer to an earlier one under way.
    Answering {
        /// To which connection.
        connection: ConnectionId,
        /// Of which subscription.
        subscription: SubscriptionId,
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
    /// An operator was answered.
    Managed {
        /// Whom.
        ticket: Ticket,
        /// How; or that the token of the call was used before.
        answer: Result<Answer, UsedToken>,
    },
    /// The rules are these from now on.
    RulesChanged(Arc<Rules>),
    /// End a connection, whose client was told why.
    Disconnect(ConnectionId),
    /// The database failed: something for the operator's log. Whoever waited has been answered.
    Failed(SqlError),
}

/// The relay.
#[derive(Debug)]
pub struct Relay<S> {
    store: Store<S>,
    sessions: BTreeMap<ConnectionId, ClientSession>,
    subscriptions: Subscriptions,
    reconciliations: Reconciliations,
    config: RelayConfig,
    reads_beside: bool,
    /// Whether more inputs come together than there is time to read for.
    is_crowded: bool,
    /// What holds beside the configuration.
    rules: Arc<Rules>,
    rates: Rates,
    /// How many events have been stored that change how the store stands to others.
    changes: u64,
    /// Whether events of banned authors are to be removed, and when some of them are.
    next_purge: Option<Timestamp>,
    /// Not later than the next handover is due. It may be earlier: then there is nothing to do.
    next_handover: Option<Timestamp>,
    /// Not later than the next event is to be removed. It may be earlier: then there is nothing to do.
    next_removal: Option<Timestamp>,
    indexing: Indexing,
}

/// With more inputs than this at once, what is asked is answered beside the engine, if it can be.
const MOST_READ_AT_ONCE: usize = 16;

/// How long to leave the database alone when it failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

impl<S: Sql> Relay<S> {
    /// Opens a relay on a database: a new one, or one that it had before.
    ///
    /// # Errors
    /// When the tables are of a later release, are others than this one's, or the database fails.
    pub fn open(sql: S, config: RelayConfig) -> Result<Self, SchemaError> {
        let store = Store::open(sql)?.with_retention(config.retention.clone());
        let next_handover = store.next_handover()?;
        let next_removal = removal::next(&store)?;
        let indexing = Indexing::of(&store)?;
        let mut rules = Rules::of(config.admission.lists.clone());
        store.complete_rules(&mut rules)?;
        let next_purge = store.has_to_purge()?.then_some(Timestamp::EPOCH);
        Ok(Self {
            store,
            sessions: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            reconciliations: Reconciliations::default(),
            rules: Arc::new(rules),
            rates: Rates::new(config.admission.rates.clone()),
            changes: 0,
            config,
            reads_beside: false,
            is_crowded: false,
            next_purge,
            next_handover,
            next_removal,
            indexing,
        })
    }

    /// Leaves answering from the store to the host, for one that can do that on many threads: see [`Effect::Read`]. What
    /// comes alone and is found soon is still answered here, which is the shortest way.
    #[must_use]
    pub fn read_beside(self) -> Self {
        Self { reads_beside: true, ..self }
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

    /// What holds beside the configuration.
    pub const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Whether one more client may connect, from this address: for shells that have not counted for themselves.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_connect(&self, address: Option<IpAddr>) -> Result<(), NoEntry> {
        let from_there = |network: Network| {
            let addresses = self.sessions.values().filter_map(ClientSession::address);
            addresses.filter(|address| Network::of(*address) == network).count()
        };
        let limits = &self.config.admission.connections;
        limits.admit(&self.rules.lists, address, self.sessions.len(), from_there)
    }

    /// All open connections.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.sessions.keys().copied()
    }

    /// The state of a connection, as compact JSON.
    #[must_use]
    pub fn saved(&self, connection: ConnectionId) -> String {
        let session = self.sessions.get(&connection).cloned().unwrap_or_default();
        let subscriptions = RawValue::from_string(self.subscriptions.saved(connection)).ok();
        // Texts, keys and JSON always serialise.
        let reconciliations = self.reconciliations.saved(connection);
        serde_json::to_string(&Saved { session, subscriptions, reconciliations }).unwrap_or_default()
    }

    /// Takes up a connection that was open before the host forgot everything, in the state that was
    /// [`saved`](Self::saved).
    pub fn restore(&mut self, connection: ConnectionId, saved: &str) {
        let saved: Saved = serde_json::from_str(saved).unwrap_or_default();
        self.sessions.insert(connection, saved.session);
        let subscriptions = saved.subscriptions.as_ref().map_or("{}", |json| json.get());
        self.subscriptions.restore(connection, subscriptions, &self.config.limits);
        if let Some(reconciliations) = &saved.reconciliations {
            self.reconciliations.restore(connection, reconciliations, &self.config.limits);
        }
    }

    fn open_connection(&mut self, connection: ConnectionId, origin: &Origin, effects: &mut Vec<Effect>) {
        self.sessions.insert(connection, ClientSession::new(origin));
        self.subscriptions.open(connection);
        let access = &self.config.access;
        if access.auth_to_read || access.auth_to_write {
            self.challenge(connection, effects);
        }
        effects.push(Effect::SessionChanged(connection));
    }

    fn message(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: &Checked,
        effects: &mut Vec<Effect>,
    ) {
        if !self.sessions.contains_key(&connection) {
            return;
        }
        match message {
            Checked::Event(event) => self.event(now, connection, event, None, effects),
            Checked::Request { subscription, filters } => {
                self.request(now, connection, subscription, filters, effects);
            }
            Checked::Close(subscription) => self.unsubscribe(connection, subscription, effects),
            Checked::Count { subscription, filters } => {
                self.count(now, connection, subscription, filters, effects);
            }
            Checked::Auth(event) => self.identify(now, connection, event, effects),
            Checked::Reconcile { subscription, step } => {
                self.reconcile(now, connection, subscription, step, effects);
            }
            Checked::Refused(message) => {
                if let RelayMessage::Closed { subscription, .. } = message {
                    // A subscription of this name would go on under a name that the client takes for closed.
                    self.unsubscribe(connection, subscription, effects);
                }
                effects.push(Effect::Send { connection, message: message.clone() });
            }
        }
    }

    fn text(&mut self, now: Timestamp, connection: ConnectionId, text: &str, effects: &mut Vec<Effect>) {
        match check::read(text, &self.config.limits, now) {
            Ok(message) => self.client_message(now, connection, message, Foresight::Nothing, effects),
            Err(refusal) => self.message(now, connection, &Checked::Refused(refusal), effects),
        }
    }

    /// Checks a message step by step, the cheapest first: what is not wanted or not going to be stored need not be verified.
    fn client_message(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: ClientMessage,
        foresight: Foresight,
        effects: &mut Vec<Effect>,
    ) {
        if !self.sessions.contains_key(&connection) {
            return;
        }
        match self.screen(now, connection, message, foresight, effects) {
            Some((Checked::Event(event), standing)) => {
                self.event(now, connection, &event, standing.as_ref(), effects);
            }
            Some((message, _)) => self.message(now, connection, &message, effects),
            None => {}
        }
    }
}

/// The state of a connection, as it is kept while the relay sleeps.
#[derive(Default, Serialize, Deserialize)]
struct Saved {
    #[serde(rename = "c", default)]
    session: ClientSession,
    #[serde(rename = "s", default)]
    subscriptions: Option<Box<RawValue>>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    reconciliations: Option<Box<RawValue>>,
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

    fn batch_size_hint(&mut self, inputs: usize) {
        self.is_crowded = inputs > MOST_READ_AT_ONCE;
    }

    fn handle(&mut self, now: Timestamp, input: &Input, effects: &mut Vec<Effect>) {
        self.reconciliations.forget_unused(now);
        match input {
            Input::Open { connection, origin } => self.open_connection(*connection, origin, effects),
            Input::Text { connection, text } => self.text(now, *connection, text, effects),
            Input::Message { connection, message } => self.message(now, *connection, message, effects),
            Input::Close(connection) => {
                self.sessions.remove(connection);
                self.subscriptions.close(*connection);
                self.reconciliations.close_all(*connection);
                self.rates.close(*connection);
            }
            Input::Publish { ticket, event } => {
                let outcome = self.publish(now, event, effects);
                effects.push(Effect::Published { ticket: *ticket, outcome });
            }
            Input::Query { ticket, filters } => {
                let events = self.query(now, filters, effects);
                effects.push(Effect::Found { ticket: *ticket, events });
            }
            Input::Unreadable { reading, error } => self.unreadable(reading, error, effects),
            Input::Reconciled(reconciled) => self.reconciled(now, reconciled, effects),
            Input::Manage { ticket, call } => {
                let answer = self.manage(now, call, effects);
                effects.push(Effect::Managed { ticket: *ticket, answer });
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
        self.remove_what_ended(now, effects);
        self.purge(now, effects);
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
        self.index_if_due(now, effects);
    }

    fn next_alarm(&self) -> Option<Timestamp> {
        [self.next_handover, self.next_removal, self.next_purge, self.indexing.due]
            .into_iter()
            .flatten()
            .min()
    }

    fn forget(&mut self, _: Timestamp) {
        let saved: Vec<_> =
            self.connections().map(|connection| (connection, self.saved(connection))).collect();
        // What cannot be opened again is not forgotten.
        let Ok(reopened) = Self::open(self.sql().clone(), self.config.clone()) else { return };
        // Who waits ten seconds for a real object to forget them has earned it; who is forgotten at once has not.
        let rates = std::mem::take(&mut self.rates);
        *self = Self { rates, reads_beside: self.reads_beside, ..reopened };
        for (connection, state) in saved {
            self.restore(connection, &state);
        }
    }

    fn rolled_back(&mut self) {
        // What was due may be due again. If even this cannot be read, the next alarm finds out.
        self.next_handover = self.store.next_handover().unwrap_or(Some(Timestamp::EPOCH));
        self.next_removal = removal::next(&self.store).unwrap_or(Some(Timestamp::EPOCH));
        self.next_purge = match self.store.has_to_purge() {
            Ok(false) => None,
            Ok(true) | Err(_) => Some(Timestamp::EPOCH),
        };
        // Rules that cannot be read stay as they are: stricter or not, they were given by an operator.
        let _ = self.reload_rules();
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
