//! Who waits for an answer of the engine's.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::relay::Ticket;

/// Those who wait, each under its ticket.
pub(super) struct Tickets<T>(Mutex<HashMap<Ticket, oneshot::Sender<T>>>);

impl<T> Tickets<T> {
    /// Makes the answer to this ticket one that is waited for.
    pub(super) fn issue(&self, ticket: Ticket) -> oneshot::Receiver<T> {
        let (sender, answer) = oneshot::channel();
        self.waiting().insert(ticket, sender);
        answer
    }

    pub(super) fn redeem(&self, ticket: Ticket, answer: T) {
        if let Some(waiting) = self.waiting().remove(&ticket) {
            // Whoever waited may have given up.
            let _ = waiting.send(answer);
        }
    }

    /// Takes back a ticket that nobody will redeem.
    pub(super) fn withdraw(&self, ticket: Ticket) {
        self.waiting().remove(&ticket);
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Ticket, oneshot::Sender<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
