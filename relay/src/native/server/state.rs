//! What the relay handle and the connections' tasks share: the engine's mailbox, the gate, the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openagents_host::VerifiedEvent;
use openagents_host::http::Response;
use openagents_host::native::{EngineStopped, Inputs, Mailbox};

use super::connections::{ConnectionTable, QueryReply};
use super::gate::Gate;
use super::outbox::Outbox;
use crate::admission::ClientMemoryUsage;
use crate::engine::Input;
use crate::information::RelayInformation;
use crate::limits::Limits;
use crate::management::{ManagementReply, SignedCall, UsedToken};
use crate::reason::Outcome;
use crate::session::{ConnectionId, Origin, Ticket};
use openagents_host::nostr::filter::Filter;

/// Statistics of a running relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayStatistics {
    /// The number of open connections.
    pub connections: usize,
    /// How many events from clients were accepted since the relay started.
    pub events_accepted: u64,
    /// How many events from clients were refused since the relay started.
    pub events_refused: u64,
    /// How many events were sent to clients since the relay started.
    pub events_sent: u64,
    /// The memory that clients make the relay keep.
    pub memory: ClientMemoryUsage,
}

pub(super) struct ServerState {
    pub(super) mailbox: Mailbox<Input>,
    pub(super) connections: Arc<ConnectionTable>,
    pub(super) limits: Limits,
    pub(super) gate: Arc<Gate>,
    information: RelayInformation,
}

impl ServerState {
    pub(super) fn new(
        inputs: Inputs<Input>,
        connections: Arc<ConnectionTable>,
        limits: Limits,
        gate: Arc<Gate>,
        information: RelayInformation,
    ) -> Self {
        Self { mailbox: Mailbox::new(inputs), connections, limits, gate, information }
    }

    /// The current relay information document (NIP-11).
    pub(super) fn information(&self) -> Response {
        self.information.under(&self.gate.rules()).to_response()
    }

    pub(super) async fn all_connections_ended(&self) {
        while !self.connections.outboxes().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Registers a connection.
    pub(super) async fn open(
        &self,
        outbox: &Arc<Outbox>,
        origin: Origin,
    ) -> Result<ConnectionId, EngineStopped> {
        let connection = ConnectionId::new(self.mailbox.next_number());
        self.connections.outboxes().insert(connection, Arc::clone(outbox));
        if let Err(stopped) = self.mailbox.inputs().send(Input::Open { connection, origin }).await {
            self.connections.outboxes().remove(&connection);
            return Err(stopped);
        }
        Ok(connection)
    }

    pub(super) async fn publish(&self, event: VerifiedEvent) -> Result<Outcome, EngineStopped> {
        let input = |ticket| Input::Publish { ticket: Ticket(ticket), event };
        self.mailbox.ask(&self.connections.publications, input).await
    }

    pub(super) async fn query(&self, filters: Vec<Filter>) -> Result<QueryReply, EngineStopped> {
        let input = |ticket| Input::Query { ticket: Ticket(ticket), filters };
        self.mailbox.ask(&self.connections.queries, input).await
    }

    pub(super) async fn manage(
        &self,
        call: SignedCall,
    ) -> Result<Result<ManagementReply, UsedToken>, EngineStopped> {
        let input = |ticket| Input::Manage { ticket: Ticket(ticket), call };
        self.mailbox.ask(&self.connections.calls, input).await
    }

    pub(super) fn statistics(&self) -> RelayStatistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayStatistics {
            connections: self.gate.max_connections().min(self.connections.outboxes().len()),
            events_accepted: count(&self.connections.events_accepted),
            events_refused: count(&self.connections.events_refused),
            events_sent: count(&self.connections.events_sent),
            memory: self.connections.memory.usage(),
        }
    }
}
