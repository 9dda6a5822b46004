//! What the handle and the connections' tasks share: the way to the engine's thread, the gate, the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openagents_host::VerifiedEvent;
use openagents_host::http::Response;
use openagents_host::native::{Inputs, Stopped};

use super::connections::{ConnectionTable, QueryReply};
use super::gate::Gate;
use super::outbox::Outbox;
use super::pending_replies::PendingReplies;
use crate::engine::Input;
use crate::filter::Filter;
use crate::information::RelayInformation;
use crate::limits::Limits;
use crate::management::{ManagementReply, SignedCall, UsedToken};
use crate::reason::Outcome;
use crate::session::{ConnectionId, Origin, Ticket};

/// Statistics of a running relay.
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

pub(super) struct ServerState {
    pub(super) inputs: Inputs<Input>,
    pub(super) connections: Arc<ConnectionTable>,
    pub(super) limits: Limits,
    pub(super) gate: Arc<Gate>,
    information: RelayInformation,
    next: AtomicU64,
}

impl ServerState {
    pub(super) fn new(
        inputs: Inputs<Input>,
        connections: Arc<ConnectionTable>,
        limits: Limits,
        gate: Arc<Gate>,
        information: RelayInformation,
    ) -> Self {
        Self { inputs, connections, limits, gate, information, next: AtomicU64::new(1) }
    }

    /// The relay information document, as it is at present.
    pub(super) fn information(&self) -> Response {
        self.information.under(&self.gate.rules()).to_response()
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

    pub(super) async fn query(&self, filters: Vec<Filter>) -> Result<QueryReply, Stopped> {
        self.ask(&self.connections.queries, |ticket| Input::Query { ticket, filters }).await
    }

    pub(super) async fn manage(
        &self,
        call: SignedCall,
    ) -> Result<Result<ManagementReply, UsedToken>, Stopped> {
        self.ask(&self.connections.calls, |ticket| Input::Manage { ticket, call }).await
    }

    async fn ask<T>(
        &self,
        pending: &PendingReplies<T>,
        input: impl FnOnce(Ticket) -> Input,
    ) -> Result<T, Stopped> {
        let ticket = Ticket(self.next());
        let answer = pending.register(ticket);
        if let Err(stopped) = self.inputs.send(input(ticket)).await {
            pending.withdraw(ticket);
            return Err(stopped);
        }
        answer.await.map_err(|_| Stopped)
    }

    pub(super) fn statistics(&self) -> RelayStatistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayStatistics {
            connections: self.gate.max_connections().min(self.connections.outboxes().len()),
            events_accepted: count(&self.connections.events_accepted),
            events_refused: count(&self.connections.events_refused),
            events_sent: count(&self.connections.events_sent),
        }
    }
}
