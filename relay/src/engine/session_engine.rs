//! The session half of the relay: connections, subscriptions, reconciliations, rate limits, permissions.
//!
//! It has no access to the store: what it needs read or stored is requested from the shard half with the types of
//! [`shard_api`](super::shard_api).

mod auth;
mod authorize;
mod broadcast;
mod reconcile;
mod subscribe;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use openagents_host::{Event, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(super) use self::authorize::WriteGrant;

use super::turn::TurnReads;
use super::{Effect, RelayConfig};
use crate::admission::forgeries::Forgeries;
use crate::admission::memory::MemoryHolder;
use crate::admission::{AdmittedMessage, ConnectionRefusal, Network, Rates, WorkOwner, gate};
use crate::management::Rules;
use crate::nip77::Reconciliations;
use crate::reason::{Prefix, Reason};
use crate::session::{ClientSession, ConnectionId, Origin};
use crate::subscriptions::Subscriptions;
use openagents_host::nostr::message::RelayMessage;

/// The connections of a relay, with their state.
#[derive(Debug)]
pub(super) struct SessionEngine {
    config: Arc<RelayConfig>,
    /// The configured lists with the operators' changes.
    rules: Arc<Rules>,
    sessions: BTreeMap<ConnectionId, ClientSession>,
    subscriptions: Subscriptions,
    reconciliations: Reconciliations,
    rates: Rates,
    forgeries: Forgeries,
    pub(super) turn: TurnReads,
    /// What the host was last told about the memory of each connection, in units of [`MEMORY_STEP`].
    told_memory: BTreeMap<ConnectionId, usize>,
}

/// Smaller changes of a connection's memory are not reported, in bytes.
const MEMORY_STEP: usize = 4_096;

/// The state of a connection, as saved during hibernation.
#[derive(Default, Serialize, Deserialize)]
struct SavedConnection {
    #[serde(rename = "c", default)]
    session: ClientSession,
    #[serde(rename = "s", default)]
    subscriptions: Option<Box<RawValue>>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    reconciliations: Option<Box<RawValue>>,
}

impl SessionEngine {
    pub(super) fn new(config: Arc<RelayConfig>, rules: Arc<Rules>) -> Self {
        let rates = Rates::new(config.admission.rates.clone());
        Self {
            config,
            rules,
            sessions: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            reconciliations: Reconciliations::default(),
            rates,
            forgeries: Forgeries::default(),
            turn: TurnReads::default(),
            told_memory: BTreeMap::new(),
        }
    }

    /// Sets the rules that apply from now on.
    pub(super) fn set_rules(&mut self, rules: &Arc<Rules>) {
        self.rules = Arc::clone(rules);
    }

    /// Whether another client may connect from this address.
    pub(super) fn may_connect(&self, address: Option<IpAddr>) -> Result<(), ConnectionRefusal> {
        let from_there = |network: Network| {
            let addresses = self.sessions.values().filter_map(ClientSession::address);
            addresses.filter(|address| Network::of(*address) == network).count()
        };
        let limits = &self.config.admission.connections;
        limits.admit(&self.rules.lists, address, self.sessions.len(), from_there)
    }

    /// Passes a text through the gate, for hosts that do not do that themselves.
    pub(super) fn admit(&mut self, now: Timestamp, connection: ConnectionId, text: &str) -> AdmittedMessage {
        let session = self.sessions.get(&connection);
        let (rules, rates) = (&self.rules, &mut self.rates);
        let admitted = gate::admit(
            text,
            &self.config.limits,
            now,
            |event| rules.lists.admit(event),
            |activity| match session {
                Some(session) => rates.admit(now, connection, session.address(), activity),
                // The connection has ended, so the message has no effect.
                None => Ok(()),
            },
        );
        admitted.map_or_else(AdmittedMessage::Refused, AdmittedMessage::unverified)
    }

    /// Whose work a connection's messages are.
    pub(super) fn work_owner(&self, connection: ConnectionId) -> WorkOwner {
        WorkOwner::of(self.network(connection), connection)
    }

    fn network(&self, connection: ConnectionId) -> Option<Network> {
        self.sessions.get(&connection).and_then(ClientSession::address).map(Network::of)
    }

    /// Whether an event may be verified together with those of others.
    pub(super) fn may_verify_together(&mut self, connection: ConnectionId, event: &Event) -> bool {
        self.authorize_write(connection, event).is_ok()
            && !self.forgeries.is_verified_alone(self.work_owner(connection))
    }

    /// Records that a connection has sent an event with a wrong id or signature, which was verified together with others.
    pub(super) fn record_forgery(&mut self, connection: ConnectionId) {
        self.forgeries.record(self.work_owner(connection));
    }

    /// Counts what was read for a connection.
    pub(super) fn charge(&mut self, now: Timestamp, connection: ConnectionId, look_ups: u64) {
        self.turn.look_ups = self.turn.look_ups.saturating_add(look_ups);
        self.turn.owner = Some(self.work_owner(connection));
        if let Some(network) = self.network(connection) {
            self.rates.charge(now, network, look_ups);
        }
    }

    /// Whether a connection is open.
    pub(super) fn is_open(&self, connection: ConnectionId) -> bool {
        self.sessions.contains_key(&connection)
    }

    /// All open connections.
    pub(super) fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.sessions.keys().copied()
    }

    /// Adds a new connection, and sends it the challenge with which it may authenticate (NIP-42).
    pub(super) fn open(&mut self, connection: ConnectionId, origin: &Origin, effects: &mut Vec<Effect>) {
        self.sessions.insert(connection, ClientSession::new(origin));
        self.subscriptions.open(connection);
        let access = &self.config.access;
        // A relay that does not know its own address cannot accept an answer.
        let knows_its_address = !access.hosts.is_empty() || origin.host.is_some();
        if knows_its_address && access.challenges_at_once || access.auth_to_read || access.auth_to_write {
            self.challenge(connection, effects);
        } else {
            effects.push(Effect::SessionChanged(connection));
        }
    }

    /// Removes a connection that has ended.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.sessions.remove(&connection);
        self.subscriptions.close(connection);
        self.reconciliations.close_all(connection);
        self.rates.close(connection);
        self.told_memory.remove(&connection);
    }

    /// Approximately how many bytes of memory the subscriptions and reconciliations of a connection take.
    fn memory_bytes(&self, connection: ConnectionId) -> usize {
        let reconciliations = self.reconciliations.memory_bytes(connection);
        self.subscriptions.memory_bytes(connection).saturating_add(reconciliations)
    }

    /// Reports how much memory a connection takes, if that has changed by more than a little.
    pub(super) fn report_memory(&mut self, connection: ConnectionId, effects: &mut Vec<Effect>) {
        let bytes = self.memory_bytes(connection);
        let steps = bytes.checked_div(MEMORY_STEP).unwrap_or_default();
        let told = self.told_memory.get(&connection).copied().unwrap_or_default();
        if steps == told || !self.is_open(connection) {
            return;
        }
        self.told_memory.insert(connection, steps);
        effects.push(Effect::MemoryChanged { connection, bytes });
    }

    /// The memory that each connection takes.
    pub(super) fn memory_holders(&self) -> Vec<MemoryHolder<ConnectionId>> {
        let holder = |(connection, session): (&ConnectionId, &ClientSession)| MemoryHolder {
            connection: *connection,
            network: session.address().map(Network::of),
            bytes: self.memory_bytes(*connection),
        };
        self.sessions.iter().map(holder).collect()
    }

    /// Frees the memory of abandoned reconciliations.
    pub(super) fn forget_unused(&mut self, now: Timestamp) {
        self.reconciliations.forget_unused(now);
    }

    /// Closes connections from addresses that are blocked now.
    pub(super) fn disconnect_blocked(&self, effects: &mut Vec<Effect>) {
        let blocked = |session: &ClientSession| self.rules.lists.blocks(session.address());
        for (connection, _) in self.sessions.iter().filter(|(_, session)| blocked(session)) {
            let reason = Reason::new(Prefix::Blocked, "your address is blocked here");
            let message = RelayMessage::Notice(reason.to_string().into());
            effects.push(Effect::Send { connection: *connection, message });
            effects.push(Effect::Disconnect(*connection));
        }
    }

    /// The state of a connection, as compact JSON.
    pub(super) fn saved(&self, connection: ConnectionId) -> String {
        let session = self.sessions.get(&connection).cloned().unwrap_or_default();
        let subscriptions = RawValue::from_string(self.subscriptions.saved(connection)).ok();
        // Strings, keys and JSON always serialize.
        let reconciliations = self.reconciliations.saved(connection);
        serde_json::to_string(&SavedConnection { session, subscriptions, reconciliations })
            .unwrap_or_default()
    }

    /// Restores a connection from its [`saved`](Self::saved) state.
    pub(super) fn restore(&mut self, connection: ConnectionId, saved: &str) {
        let saved: SavedConnection = serde_json::from_str(saved).unwrap_or_default();
        self.sessions.insert(connection, saved.session);
        let subscriptions = saved.subscriptions.as_ref().map_or("{}", |json| json.get());
        self.subscriptions.restore(connection, subscriptions, &self.config.limits);
        if let Some(reconciliations) = &saved.reconciliations {
            self.reconciliations.restore(connection, reconciliations, &self.config.limits);
        }
        let steps = self.memory_bytes(connection).checked_div(MEMORY_STEP);
        self.told_memory.insert(connection, steps.unwrap_or_default());
    }

    /// Loses what a hibernating host loses, and restores the connections.
    pub(super) fn forget(&mut self) {
        let saved: Vec<_> =
            self.connections().map(|connection| (connection, self.saved(connection))).collect();
        // Real hibernation takes ten seconds without activity, which would refill part of the rate limits; this
        // simulation does not, so they are kept.
        let rates = std::mem::take(&mut self.rates);
        *self = Self { rates, ..Self::new(Arc::clone(&self.config), Arc::clone(&self.rules)) };
        for (connection, state) in saved {
            self.restore(connection, &state);
        }
    }
}
