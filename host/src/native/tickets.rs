//! Tickets: which task waits for which reply of an engine thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The tasks that wait for a reply, by the number of their ticket. Clones share them.
pub struct Tickets<T>(Arc<Mutex<HashMap<u64, oneshot::Sender<T>>>>);

impl<T> Tickets<T> {
    /// Issues a ticket with this number.
    pub(super) fn issue(&self, ticket: u64) -> oneshot::Receiver<T> {
        let (sender, reply) = oneshot::channel();
        self.waiting().insert(ticket, sender);
        reply
    }

    /// Passes the reply to the task with this ticket, if it is still waiting.
    pub fn redeem(&self, ticket: u64, reply: T) {
        let waiting = self.waiting().remove(&ticket);
        if let Some(waiting) = waiting {
            let _ = waiting.send(reply);
        }
    }

    /// Withdraws a ticket that will not be redeemed.
    pub(super) fn withdraw(&self, ticket: u64) {
        self.waiting().remove(&ticket);
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
