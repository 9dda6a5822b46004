//! `EventContext` and `FromEvent`: what an `#[event]` function can take.

use openagents_host::{PublicKey, VerifiedEvent};

use super::context::AgentContext;
use super::extract::NostrEvent;
use super::memory::Session;

/// An event that an `#[event]` function handles, and the context of the run.
#[derive(Clone, Debug)]
pub struct EventContext {
    event: VerifiedEvent,
    agent_context: AgentContext,
}

impl EventContext {
    pub(crate) fn new(event: VerifiedEvent, agent_context: AgentContext) -> Self {
        Self { event, agent_context }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &VerifiedEvent {
        &self.event
    }

    /// The context of the run.
    #[must_use]
    pub fn agent_context(&self) -> &AgentContext {
        &self.agent_context
    }

    fn author(&self) -> PublicKey {
        self.event.pubkey
    }
}

/// An argument that an [`#[event]`](macro@crate::event) function can take.
#[diagnostic::on_unimplemented(
    message = "a function for events cannot take `{Self}`",
    label = "not an argument of a function for events",
    note = "they take the event as `NostrEvent`, the conversation with its author as `Session`, and `AgentContext`"
)]
pub trait FromEvent: Sized {
    /// Makes the argument.
    fn from_event(context: &EventContext) -> Self;
}

impl FromEvent for NostrEvent {
    fn from_event(context: &EventContext) -> Self {
        Self::of(context.event.clone())
    }
}

impl FromEvent for AgentContext {
    fn from_event(context: &EventContext) -> Self {
        context.agent_context.clone()
    }
}

/// The conversation with the event's author.
impl FromEvent for Session {
    fn from_event(context: &EventContext) -> Self {
        Self::new(context.agent_context.clone(), context.author())
    }
}
