//! A relay in a test: the real engine on a database in memory, with connections that are not sockets.

use std::collections::BTreeMap;
use std::sync::Arc;

use openagents_host::native::Sqlite;
use openagents_host::{Engine, Event, EventId, Timestamp, VerifiedEvent};
use openagents_relay::{
    AdmittedMessage, ClientMessage, ConnectionId, Effect, Input, Origin, Relay, RelayMessage, Ticket,
};
use openagents_relay::{Filter, Limits, Outcome};
use tokio::sync::mpsc;

use super::failure::OrFail;
use crate::assemble::deployment_of;
use crate::author::agent::Jobs;
use crate::settings;

pub(super) struct TestRelay {
    relay: Relay<Sqlite>,
    /// All accepted events, in order of arrival.
    accepted: Vec<VerifiedEvent>,
    /// How many of them the providers have seen.
    shown: usize,
    accepts_everything: bool,
    connections: BTreeMap<ConnectionId, mpsc::UnboundedSender<String>>,
    last_connection: u64,
}

/// What the relay did with an event.
pub(super) struct PublishResult {
    pub(super) outcome: Outcome,
    /// The event, if it concerns the agent.
    pub(super) handed_over: Option<VerifiedEvent>,
}

/// The agent's own relay failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct RelayQueryError(pub(super) String);

/// A connection, and what the relay sends over it.
pub(super) struct TestConnection {
    pub(super) id: ConnectionId,
    pub(super) sent: mpsc::UnboundedReceiver<String>,
}

impl TestRelay {
    #[track_caller]
    pub(super) fn open<A: Jobs>() -> Self {
        let sql = Sqlite::in_memory().or_fail("the relay cannot start");
        let relay = Relay::open(sql, settings::relay_config(&deployment_of::<A>(), Limits::default()));
        Self {
            relay: relay.or_fail("the relay cannot start"),
            accepted: Vec::new(),
            shown: 0,
            accepts_everything: false,
            connections: BTreeMap::new(),
            last_connection: 0,
        }
    }

    /// A relay that keeps what is published from inside the process, whatever the engine says.
    #[track_caller]
    pub(super) fn accepting_everything<A: Jobs>() -> Self {
        Self { accepts_everything: true, ..Self::open::<A>() }
    }

    /// The accepted events since the last call.
    pub(super) fn take_new(&mut self) -> Vec<VerifiedEvent> {
        let new = self.accepted.get(self.shown..).unwrap_or_default().to_vec();
        self.shown = self.accepted.len();
        new
    }

    pub(super) fn publish(&mut self, now: Timestamp, event: &VerifiedEvent) -> PublishResult {
        let publish = Input::Publish { ticket: Ticket(0), event: event.clone() };
        let mut published = PublishResult { outcome: Outcome::Duplicate, handed_over: None };
        for effect in self.handle(now, &publish) {
            match effect {
                Effect::Published { outcome, .. } => published.outcome = outcome,
                Effect::HandOver(event) => published.handed_over = Some(event),
                _ => {}
            }
        }
        if self.accepts_everything || published.outcome == Outcome::Accepted {
            self.accepted.push(event.clone());
        }
        published
    }

    /// The agent has stored the event.
    pub(super) fn delivered(&mut self, now: Timestamp, event: EventId) {
        self.handle(now, &Input::Delivered(event));
    }

    pub(super) fn query(
        &mut self,
        now: Timestamp,
        filters: Vec<Filter>,
    ) -> Result<Vec<Event>, RelayQueryError> {
        let effects = self.handle(now, &Input::Query { ticket: Ticket(0), filters });
        let found = effects.into_iter().find_map(|effect| match effect {
            Effect::Found { events, .. } => Some(events),
            _ => None,
        });
        let found =
            found.unwrap_or_else(|| Ok(Vec::new())).map_err(|reason| RelayQueryError(reason.to_string()))?;
        let read =
            |json: &Arc<str>| Event::from_json(json).map_err(|error| RelayQueryError(error.to_string()));
        found.iter().map(read).collect()
    }

    pub(super) fn accepted(&self) -> &[VerifiedEvent] {
        &self.accepted
    }

    /// Opens a connection of a client in this process.
    pub(super) fn connect(&mut self, now: Timestamp) -> TestConnection {
        self.last_connection = self.last_connection.saturating_add(1);
        let id = ConnectionId::new(self.last_connection);
        let (sender, sent) = mpsc::unbounded_channel();
        self.connections.insert(id, sender);
        let origin = Origin::new(None, None).or_fail("the system provides no random bytes");
        self.handle(now, &Input::Open { connection: id, origin });
        TestConnection { id, sent }
    }

    /// Handles a client's message. Returns the events that concern the agent.
    pub(super) fn receive(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        text: &str,
    ) -> Vec<VerifiedEvent> {
        let message = self.relay.admit(now, connection, text);
        let event = match &message {
            AdmittedMessage::Unverified { message, .. } => match &**message {
                ClientMessage::Event(event) => event.clone().verify().ok(),
                _ => None,
            },
            _ => None,
        };
        let mut handed_over = Vec::new();
        for effect in self.handle(now, &Input::Message { connection, message }) {
            match effect {
                Effect::HandOver(event) => handed_over.push(event),
                Effect::Send { message: RelayMessage::Ok { outcome: Outcome::Accepted, .. }, .. } => {
                    self.accepted.extend(event.clone());
                }
                _ => {}
            }
        }
        handed_over
    }

    /// A client has gone.
    pub(super) fn disconnect(&mut self, now: Timestamp, connection: ConnectionId) {
        self.connections.remove(&connection);
        self.handle(now, &Input::Close(connection));
    }

    /// Passes an input to the engine, and its messages to the connections.
    fn handle(&mut self, now: Timestamp, input: &Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.relay.handle(now, input, &mut effects);
        for effect in &effects {
            match effect {
                Effect::Send { connection, message } => {
                    if let Some(sender) = self.connections.get(connection) {
                        let _ = sender.send(message.to_json());
                    }
                }
                Effect::Disconnect(connection) => drop(self.connections.remove(connection)),
                _ => {}
            }
        }
        effects
    }
}
