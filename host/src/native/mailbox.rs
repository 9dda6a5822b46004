//! The mailbox of an engine thread: sends an input with a ticket, and waits for the reply with the same ticket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::tickets::Tickets;
use super::{EngineStopped, Inputs};

/// Sends requests to an engine. Clones send to the same one.
pub struct Mailbox<I> {
    inputs: Inputs<I>,
    next: Arc<AtomicU64>,
}

impl<I> Mailbox<I> {
    /// A mailbox for the engine that receives these inputs.
    #[must_use]
    pub fn new(inputs: Inputs<I>) -> Self {
        Self { inputs, next: Arc::new(AtomicU64::new(1)) }
    }

    /// The engine's inputs.
    #[must_use]
    pub const fn inputs(&self) -> &Inputs<I> {
        &self.inputs
    }

    /// A number that was used neither by this method nor for a ticket before.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Creates a ticket, sends the input that `input` makes for it, and waits for the reply.
    ///
    /// # Errors
    /// When the engine has stopped.
    pub async fn ask<T>(
        &self,
        tickets: &Tickets<T>,
        input: impl FnOnce(u64) -> I,
    ) -> Result<T, EngineStopped> {
        let ticket = self.next_number();
        let reply = tickets.issue(ticket);
        if let Err(stopped) = self.inputs.send(input(ticket)).await {
            tickets.withdraw(ticket);
            return Err(stopped);
        }
        reply.await.map_err(|_| EngineStopped)
    }
}

impl<I> Clone for Mailbox<I> {
    fn clone(&self) -> Self {
        Self { inputs: self.inputs.clone(), next: Arc::clone(&self.next) }
    }
}
