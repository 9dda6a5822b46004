//! The relay engine: inputs in, effects out, no I/O but SQL.

mod auth;
mod authorize;
mod batch;
mod config;
mod effect;
mod input;
mod manage;
mod read;
mod reconcile;
mod removal;
mod search_index;
mod store_read;
mod write;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use openagents_host::sql::{SchemaError, Sql, SqlError};
use openagents_host::{Engine, EventId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::batch::Prepared;
pub use self::config::RelayConfig;
pub use self::effect::Effect;
pub use self::input::Input;
pub use self::store_read::{ReadRequest, ReconciliationRead, StoreRead};

use self::batch::Prescreened;
use self::search_index::IndexSchedule;
use crate::admission::{ConnectionRefusal, Network, Rates};
use crate::limits::Limits;
use crate::management::Rules;
use crate::message::{ClientMessage, RelayMessage};
use crate::nip77::Reconciliations;
use crate::reason::Outcome;
use crate::session::{ClientSession, ConnectionId, Origin};
use crate::store::Store;
use crate::subscriptions::Subscriptions;
use crate::validate::{self, Checked};

/// The relay.
#[derive(Debug)]
pub struct Relay<S> {
    store: Store<S>,
    sessions: BTreeMap<ConnectionId, ClientSession>,
    subscriptions: Subscriptions,
    reconciliations: Reconciliations,
    config: RelayConfig,
    has_reader_threads: bool,
    /// Whether so many inputs arrived together that reads are left to the reader threads.
    under_load: bool,
    /// The configured lists, and what operators have changed.
    rules: Arc<Rules>,
    rates: Rates,
    /// How many events were stored that invalidate the prechecks of others.
    changes: u64,
    /// Whether events of banned authors are to be removed, and when some of them are.
    next_purge: Option<Timestamp>,
    /// Not later than the next handover is due. It may be earlier: then there is nothing to do.
    next_handover: Option<Timestamp>,
    /// Not later than the next event is to be removed. It may be earlier: then there is nothing to do.
    next_removal: Option<Timestamp>,
    index_schedule: IndexSchedule,
}

/// With more inputs than this at once, reads are left to the reader threads, if there are any.
const MAX_INPUTS_TO_READ_INLINE: usize = 16;

/// How long to wait before using the database again after it failed.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(10);

impl<S: Sql> Relay<S> {
    /// Opens a relay on a database: a new one, or one that it had before.
    ///
    /// # Errors
    /// When the tables are of a later release, are others than this one's, or the database fails.
    pub fn open(sql: S, config: RelayConfig) -> Result<Self, SchemaError> {
        let store = Store::open(sql)?.with_retention(config.retention.clone());
        let next_handover = store.next_handover()?;
        let next_removal = removal::next(&store)?;
        let index_schedule = IndexSchedule::of(&store)?;
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
            has_reader_threads: false,
            under_load: false,
            next_purge,
            next_handover,
            next_removal,
            index_schedule,
        })
    }

    /// Leaves reads to the reader threads of the host: see [`Effect::Read`]. A read that comes alone and is short is
    /// still answered here, which is fastest.
    #[must_use]
    pub fn with_reader_threads(self) -> Self {
        Self { has_reader_threads: true, ..self }
    }

    /// Hands over at once all events that wait for it: the process that receives them has just started.
    ///
    /// # Errors
    /// When the database fails.
    pub fn retry_handovers_now(&mut self, now: Timestamp) -> Result<(), SqlError> {
        self.store.retry_handovers_now(now)?;
        self.next_handover = self.store.next_handover()?;
        Ok(())
    }

    /// The event store.
    pub const fn store(&self) -> &Store<S> {
        &self.store
    }

    /// The limits of NIP-11, and others.
    pub const fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// The rules in force: the configured lists, and what operators have changed.
    pub const fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// Whether one more client may connect from this address: for hosts that do not count connections themselves.
    ///
    /// # Errors
    /// Says why not.
    pub fn may_connect(&self, address: Option<IpAddr>) -> Result<(), ConnectionRefusal> {
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
        serde_json::to_string(&SavedConnection { session, subscriptions, reconciliations })
            .unwrap_or_default()
    }

    /// Takes up a connection that was open before the host forgot everything, in the state that was
    /// [`saved`](Self::saved).
    pub fn restore(&mut self, connection: ConnectionId, saved: &str) {
        let saved: SavedConnection = serde_json::from_str(saved).unwrap_or_default();
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
            Checked::Auth(event) => self.authenticate(now, connection, event, effects),
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
        match validate::read(text, &self.config.limits, now) {
            Ok(message) => self.client_message(now, connection, message, Prescreened::Nothing, effects),
            Err(refusal) => self.message(now, connection, &Checked::Refused(refusal), effects),
        }
    }

    /// Checks a message step by step, the cheapest first: what is not wanted or not going to be stored need not be
    /// verified.
    fn client_message(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: ClientMessage,
        prescreened: Prescreened,
        effects: &mut Vec<Effect>,
    ) {
        if !self.sessions.contains_key(&connection) {
            return;
        }
        match self.authorize(now, connection, message, prescreened, effects) {
            Some((Checked::Event(event), precheck)) => {
                self.event(now, connection, &event, precheck.as_ref(), effects);
            }
            Some((message, _)) => self.message(now, connection, &message, effects),
            None => {}
        }
    }
}

/// The state of a connection, as it is kept while the relay sleeps.
#[derive(Default, Serialize, Deserialize)]
struct SavedConnection {
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
        self.under_load = inputs > MAX_INPUTS_TO_READ_INLINE;
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
            Input::ReadFailed { read, error } => self.read_failed(read, error, effects),
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
                self.next_handover = Some(now + RETRY_AFTER_FAILURE);
            }
        }
        self.index_if_due(now, effects);
    }

    fn next_alarm(&self) -> Option<Timestamp> {
        [self.next_handover, self.next_removal, self.next_purge, self.index_schedule.due]
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
        *self = Self { rates, has_reader_threads: self.has_reader_threads, ..reopened };
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
