//! Sends requests and state queries to the agent's engine thread and awaits the replies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openagents_host::native::Inputs;
use openagents_host::{SqlError, VerifiedEvent};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::engine::{Input, RequestAdmission, StateQuery};

/// Why the agent gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error("the agent has stopped")]
    Stopped,
    #[error(transparent)]
    Database(#[from] SqlError),
}

/// The way by which requests and questions come to the agent. Clones lead to the same one.
#[derive(Clone)]
pub(crate) struct AgentMailbox {
    pub(super) inputs: Inputs<Input>,
    pub(super) taken: Tickets<Result<RequestAdmission, SqlError>>,
    pub(super) answered: Tickets<Result<Value, SqlError>>,
    pub(super) last_ticket: Arc<AtomicU64>,
}

/// Who waits for an effect with a ticket.
pub(super) struct Tickets<T>(Arc<Mutex<BTreeMap<u64, oneshot::Sender<T>>>>);

impl<T> Clone for Tickets<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Tickets<T> {
    fn wait(&self, ticket: u64) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, sender);
        receiver
    }

    pub(super) fn redeem(&self, ticket: u64, value: T) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
        if let Some(waiting) = waiting {
            let _ = waiting.send(value);
        }
    }

    fn cancel(&self, ticket: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
    }
}

impl AgentMailbox {
    /// Gives the agent an event from its own relay, or from the external relay `source`; returns when it is on record.
    pub(super) async fn take(
        &self,
        event: VerifiedEvent,
        source: Option<String>,
    ) -> Result<RequestAdmission, AgentError> {
        let ticket = self.next_ticket();
        let taken = self.taken.wait(ticket);
        if self.inputs.send(Input::Request { event, source, ticket }).await.is_err() {
            self.taken.cancel(ticket);
            return Err(AgentError::Stopped);
        }
        Ok(taken.await.map_err(|_| AgentError::Stopped)??)
    }

    /// Asks the agent's database.
    pub(super) async fn query_state(&self, query: StateQuery) -> Result<Value, AgentError> {
        let ticket = self.next_ticket();
        let answered = self.answered.wait(ticket);
        if self.inputs.send(Input::Query { query, ticket }).await.is_err() {
            self.answered.cancel(ticket);
            return Err(AgentError::Stopped);
        }
        Ok(answered.await.map_err(|_| AgentError::Stopped)??)
    }

    fn next_ticket(&self) -> u64 {
        self.last_ticket.fetch_add(1, Ordering::Relaxed)
    }
}
