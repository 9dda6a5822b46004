//! `AgentSpec`: what the engine knows of an agent: its declarations, without its code.

use std::collections::BTreeMap;
use std::time::Duration;

use openagents_host::Kind;

use super::state_change::ChangeState;
use super::vocabulary::Hook;
use crate::declaration::{
    AgentDeclaration, DirectMessageDeclaration, EventDeclaration, JobDeclaration, RouteDeclaration,
    ScheduleDeclaration,
};

/// The timeout of a hook.
pub(crate) const HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// What the engine knows of an agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentSpec {
    pub(crate) declaration: AgentDeclaration,
    pub(crate) handlers: Vec<HandlerSpec>,
    pub(crate) schedules: Vec<ScheduleSpec>,
    pub(crate) routes: Vec<RouteSpec>,
    pub(crate) events: Vec<EventSpec>,
    pub(crate) direct_message: Option<DirectMessageSpec>,
    pub(crate) hooks: HookSpec,
    /// How an operator's change is made.
    pub(crate) change_state: ChangeState,
}

/// What the engine knows of a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandlerSpec {
    pub(crate) declaration: JobDeclaration,
    /// Whether it takes `&mut self` and so runs alone.
    pub(crate) exclusive: bool,
    /// Whether it has a `#[price]` function.
    pub(crate) quotes: bool,
}

/// What the engine knows of a schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScheduleSpec {
    pub(crate) declaration: ScheduleDeclaration,
    pub(crate) exclusive: bool,
}

/// What the engine knows of an HTTP route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteSpec {
    pub(crate) declaration: RouteDeclaration,
    pub(crate) exclusive: bool,
}

/// What the engine knows of an `#[event]` function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventSpec {
    pub(crate) declaration: EventDeclaration,
    pub(crate) exclusive: bool,
}

/// What the engine knows of the `#[direct_message]` function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectMessageSpec {
    pub(crate) declaration: DirectMessageDeclaration,
    pub(crate) exclusive: bool,
}

/// What handles a received event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceivedEventHandler {
    /// The `#[event]` function with this index.
    Event(usize),
    /// The `#[direct_message]` function.
    DirectMessage,
}

/// The hooks that exist, each with whether it runs alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HookSpec {
    pub(crate) on_create: Option<bool>,
    pub(crate) on_wake: Option<bool>,
    pub(crate) on_sleep: Option<bool>,
    pub(crate) on_error: Option<bool>,
}

impl HookSpec {
    /// Whether this hook runs alone; `None` if it does not exist.
    pub(crate) fn exclusive(&self, hook: Hook) -> Option<bool> {
        match hook {
            Hook::Create => self.on_create,
            Hook::Wake => self.on_wake,
            Hook::Sleep => self.on_sleep,
            Hook::Error => self.on_error,
        }
    }
}

impl AgentSpec {
    /// The kinds of events that it handles, and what handles them.
    pub(crate) fn received_kinds(&self) -> BTreeMap<Kind, ReceivedEventHandler> {
        let events = self.events.iter().enumerate();
        let events =
            events.map(|(index, event)| (Kind(event.declaration.kind), ReceivedEventHandler::Event(index)));
        let wraps = [Kind::GIFT_WRAP, Kind::EPHEMERAL_GIFT_WRAP]
            .map(|kind| (kind, ReceivedEventHandler::DirectMessage));
        events.chain(wraps.into_iter().filter(|_| self.direct_message.is_some())).collect()
    }

    /// Whether the handling of an event runs alone, and how long it may take.
    pub(crate) fn received_event(&self, handler: ReceivedEventHandler) -> Option<(bool, Duration)> {
        match handler {
            ReceivedEventHandler::Event(index) => {
                self.events.get(index).map(|event| (event.exclusive, event.declaration.timeout))
            }
            ReceivedEventHandler::DirectMessage => {
                self.direct_message.map(|message| (message.exclusive, message.declaration.timeout))
            }
        }
    }

    /// The handler for a job kind, with its index.
    pub(crate) fn handler(&self, kind: u16) -> Option<(usize, HandlerSpec)> {
        self.handlers.iter().copied().enumerate().find(|(_, spec)| spec.declaration.kind == kind)
    }
}
