//! Calls that wait for a reply of the engine.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::session::Ticket;

/// The waiting calls by ticket.
pub(super) struct PendingReplies<T>(Mutex<HashMap<Ticket, oneshot::Sender<T>>>);

impl<T> PendingReplies<T> {
    /// Registers a call and returns where its reply arrives.
    pub(super) fn register(&self, ticket: Ticket) -> oneshot::Receiver<T> {
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(ticket, sender);
        answer
    }

    pub(super) fn resolve(&self, ticket: Ticket, answer: T) {
        if let Some(waiting) = self.waiting().remove(&ticket) {
            // Whoever waited may have given up.
            let _ = waiting.send(answer);
        }
    }

    /// Removes a call that will get no reply.
    pub(super) fn withdraw(&self, ticket: Ticket) {
        self.waiting().remove(&ticket);
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Ticket, oneshot::Sender<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for PendingReplies<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
