//! The relay engine: takes inputs, produces effects, and does no I/O except SQL.
//!
//! It has two independent halves: `SessionEngine` has the connections and decides about permissions, `ShardEngine` has
//! the events. [`Relay`] combines both in one object: this file, `event` and `read` call one half and pass its reply
//! to the other.

mod batch;
mod client_read;
mod config;
mod effect;
mod event;
mod input;
mod read;
mod session_engine;
mod shard_api;
mod shard_engine;
mod turn;

use std::net::IpAddr;
use std::sync::Arc;

use openagents_host::sql::{SchemaError, Sql, SqlError};
use openagents_host::{Engine, EventId, Timestamp, VerifiedEvent};

pub use self::client_read::{ClientRead, ReconciliationRead};
pub use self::config::RelayConfig;
pub use self::effect::Effect;
pub use self::input::Input;
pub use self::shard_api::{ReadReply, ReadRequest, StoreRead};
pub use self::turn::TurnQueue;

use self::read::UnfinishedRead;
use self::session_engine::SessionEngine;
use self::shard_engine::ShardEngine;
use crate::admission::memory::{MemoryHolder, sort_by_memory};
use crate::admission::{Admitted, AdmittedMessage, ConnectionRefusal, Freshness};
use crate::limits::Limits;
use crate::management::{Call, ManagementReply, Rules, SignedCall, UsedToken};
use crate::reason::Outcome;
use crate::session::ConnectionId;
use crate::store::Store;
use crate::validate;
use openagents_host::nostr::message::{ClientMessage, RelayMessage};

/// The relay engine.
#[derive(Debug)]
pub struct Relay<S> {
    sessions: SessionEngine,
    shard: ShardEngine<S>,
    /// Reads that are [continued](Effect::Continue) in later turns, at most one of a connection.
    unfinished: Vec<UnfinishedRead>,
}

/// If a batch has more inputs than this, reads are left to the reader threads, if there are any.
const MAX_INPUTS_TO_READ_INLINE: usize = 16;

impl<S: Sql> Relay<S> {
    /// Opens a relay on a new or an existing database.
    ///
    /// # Errors
    /// When the tables were written by a later release, differ from the expected ones, or the database fails.
    pub fn open(sql: S, config: RelayConfig) -> Result<Self, SchemaError> {
        let config = Arc::new(config);
        let shard = ShardEngine::open(sql, Arc::clone(&config))?;
        let sessions = SessionEngine::new(config, Arc::clone(shard.rules()));
        Ok(Self { sessions, shard, unfinished: Vec::new() })
    }

    /// Leaves reads to reader threads of the host: see [`Effect::Read`]. A short read that arrives alone is still
    /// answered by the engine, which is fastest.
    #[must_use]
    pub fn with_reader_threads(self) -> Self {
        Self { shard: self.shard.with_reader_threads(), ..self }
    }

    /// Makes all waiting handovers due now, for when the receiving process has just started.
    ///
    /// # Errors
    /// When the database fails.
    pub fn retry_handovers_now(&mut self, now: Timestamp) -> Result<(), SqlError> {
        self.shard.retry_handovers_now(now)
    }

    /// The event store.
    pub const fn store(&self) -> &Store<S> {
        self.shard.store()
    }

    /// The limits: those of NIP-11 and others.
    pub fn limits(&self) -> &Limits {
        &self.shard.config().limits
    }

    /// The rules in force: the configured lists with the operators' changes.
    pub const fn rules(&self) -> &Arc<Rules> {
        self.shard.rules()
    }

    /// Whether another client may connect from this address, for hosts that do not count connections themselves.
    ///
    /// # Errors
    /// The reason for the refusal.
    pub fn may_connect(&self, address: Option<IpAddr>) -> Result<(), ConnectionRefusal> {
        self.sessions.may_connect(address)
    }

    /// The connections, and how many bytes of memory the subscriptions, reconciliations and unfinished reads of each
    /// take, in the order in which they are to be closed if that is too much.
    #[must_use]
    pub fn connections_by_memory(&self) -> Vec<(ConnectionId, usize)> {
        let mut holders = self.sessions.memory_holders();
        for unfinished in &self.unfinished {
            let of = |holder: &&mut MemoryHolder<ConnectionId>| holder.connection == unfinished.connection();
            if let Some(holder) = holders.iter_mut().find(of) {
                holder.bytes = holder.bytes.saturating_add(unfinished.memory_bytes());
            }
        }
        sort_by_memory(&mut holders);
        holders.into_iter().map(|holder| (holder.connection, holder.bytes)).collect()
    }

    /// All open connections.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.sessions.connections()
    }

    /// The session of a connection, as compact JSON.
    #[must_use]
    pub fn saved(&self, connection: ConnectionId) -> String {
        self.sessions.saved(connection)
    }

    /// Restores a connection from its [`saved`](Self::saved) session after the host has lost its memory.
    pub fn restore(&mut self, connection: ConnectionId, saved: &str) {
        self.sessions.restore(connection, saved);
    }

    /// Passes a client's text through the [gate](crate::admission::gate) and counts it against the rate limits, for
    /// hosts that do not do that themselves.
    #[must_use]
    pub fn admit(&mut self, now: Timestamp, connection: ConnectionId, text: &str) -> AdmittedMessage {
        self.sessions.admit(now, connection, text)
    }

    /// Handles a message with a verified event.
    fn message(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: &ClientMessage<VerifiedEvent>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.sessions.is_open(connection) {
            return;
        }
        let read = match message {
            ClientMessage::Event(event) => {
                return self.verified_event(now, connection, event, Freshness::default(), effects);
            }
            ClientMessage::Request { subscription, filters } => {
                let read = self.sessions.subscribe(now, connection, subscription, filters, effects);
                if let Some(read) = read {
                    self.shard.prepare_search(now, filters, effects);
                    self.read(now, read, effects);
                    effects.push(Effect::SessionChanged(connection));
                }
                None
            }
            ClientMessage::Close(subscription) => {
                self.sessions.unsubscribe(connection, subscription, effects);
                None
            }
            ClientMessage::Count { subscription, filters } => {
                self.sessions.count(now, connection, subscription, filters, effects)
            }
            ClientMessage::Auth(event) => {
                self.sessions.authenticate(now, connection, event, effects);
                None
            }
            ClientMessage::Reconcile { subscription, step } => {
                self.sessions.reconcile(now, connection, subscription, step, effects)
            }
        };
        if let Some(read) = read {
            self.read(now, read, effects);
        }
        self.sessions.report_memory(connection, effects);
    }

    /// Handles a message with an event that is not verified yet.
    fn unverified(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        message: Admitted<ClientMessage>,
        freshness: Freshness,
        effects: &mut Vec<Effect>,
    ) {
        if !self.sessions.is_open(connection) {
            return;
        }
        match message.into_message() {
            ClientMessage::Event(event) => {
                self.unverified_event(now, connection, event, freshness, effects);
            }
            message => match validate::verify(message) {
                Ok(message) => self.message(now, connection, &message, effects),
                Err(refusal) => self.refused(connection, refusal, effects),
            },
        }
    }

    /// Answers a message that did not pass the gate.
    fn refused(&mut self, connection: ConnectionId, message: RelayMessage, effects: &mut Vec<Effect>) {
        if !self.sessions.is_open(connection) {
            return;
        }
        if let RelayMessage::Closed { subscription, .. } = &message {
            // Otherwise an existing subscription with this id would continue although the client considers it closed.
            self.sessions.unsubscribe(connection, subscription, effects);
            self.sessions.report_memory(connection, effects);
        } else if let RelayMessage::ReconcileRefused { subscription, .. } = &message {
            self.sessions.close_reconciliation(connection, subscription, effects);
        }
        effects.push(Effect::Send { connection, message });
    }

    /// Carries out a management call, and applies its consequences to connected clients.
    fn manage(
        &mut self,
        now: Timestamp,
        signed: &SignedCall,
        effects: &mut Vec<Effect>,
    ) -> Result<ManagementReply, UsedToken> {
        let answer = self.shard.manage(now, signed, effects);
        self.sessions.set_rules(self.shard.rules());
        let answer = answer?;
        if answer.is_ok() && !signed.call.is_read_only() {
            effects.push(Effect::RulesChanged(Arc::clone(self.shard.rules())));
            match signed.call {
                Call::BanPubkey(..) => self.shard.begin_purge(now, effects),
                Call::BlockAddress(..) => self.sessions.disconnect_blocked(effects),
                _ => {}
            }
        }
        Ok(answer)
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
        self.store().sql()
    }

    fn batch_size_hint(&mut self, inputs: usize) {
        self.shard.set_under_load(inputs > MAX_INPUTS_TO_READ_INLINE);
    }

    fn prepare(&mut self, now: Timestamp, inputs: &mut [Input]) {
        self.find_fresh(now, inputs);
        self.verify_fresh(inputs);
        self.begin_handovers(now, inputs);
    }

    fn handle_once(&mut self, now: Timestamp, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Message { connection, message: AdmittedMessage::Unverified { message, freshness } } => {
                self.sessions.forget_unused(now);
                self.unverified(now, connection, message, freshness, effects);
            }
            input => self.handle(now, &input, effects),
        }
    }

    fn handle(&mut self, now: Timestamp, input: &Input, effects: &mut Vec<Effect>) {
        self.sessions.forget_unused(now);
        match input {
            Input::Open { connection, origin } => self.sessions.open(*connection, origin, effects),
            Input::Message { connection, message } => match message {
                AdmittedMessage::Verified(message) => self.message(now, *connection, message, effects),
                AdmittedMessage::Unverified { message, freshness } => {
                    self.unverified(now, *connection, message.clone(), *freshness, effects);
                }
                AdmittedMessage::Prepared { event, freshness } => {
                    if self.sessions.is_open(*connection) {
                        self.verified_event(now, *connection, event, *freshness, effects);
                    }
                    if let Err(error) = self.shard.end_handover_unless_stored(&event.id) {
                        // Its batch stays due until nothing of it is found.
                        effects.push(Effect::Failed(error));
                    }
                }
                AdmittedMessage::Refused(answer) => self.refused(*connection, answer.clone(), effects),
            },
            Input::Close(connection) => {
                self.sessions.close(*connection);
                self.unfinished.retain(|unfinished| unfinished.connection() != *connection);
            }
            Input::Continue(connection) => self.continue_read(now, *connection, effects),
            Input::Publish { ticket, event } => {
                let outcome = self.publish(now, event, effects);
                effects.push(Effect::Published { ticket: *ticket, outcome });
            }
            Input::Query { ticket, filters } => {
                let events = self.shard.query(now, filters, effects);
                effects.push(Effect::Found { ticket: *ticket, events });
            }
            Input::ReadFailed { read, error } => {
                self.sessions.read_failed(read, error, effects);
                self.sessions.report_memory(read.connection, effects);
            }
            Input::Reconciled(reconciled) => {
                self.sessions.reconciled(now, reconciled, effects);
                self.sessions.report_memory(reconciled.connection, effects);
            }
            Input::Manage { ticket, call } => {
                let answer = self.manage(now, call, effects);
                effects.push(Effect::Managed { ticket: *ticket, answer });
            }
            Input::Delivered(id) => {
                if let Err(error) = self.shard.delivered(id) {
                    // It stays due and will be retried.
                    effects.push(Effect::Failed(error));
                }
            }
        }
    }

    fn alarm(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.shard.alarm(now, effects);
    }

    fn next_alarm(&self) -> Option<Timestamp> {
        self.shard.next_alarm()
    }

    fn forget(&mut self, _: Timestamp) {
        // If reopening fails, the state in memory is kept.
        if self.shard.forget().is_ok() {
            self.sessions.set_rules(self.shard.rules());
            self.sessions.forget();
        }
    }

    fn rolled_back(&mut self) {
        self.shard.rolled_back();
        self.sessions.set_rules(self.shard.rules());
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
