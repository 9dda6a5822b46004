//! What the engine knows of an agent: declarations, not code.

use std::time::Duration;

use crate::agent::AgentDeclaration;
use crate::handler::{JobDeclaration, ScheduleDeclaration};

/// How long a hook may take.
pub(crate) const HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// An agent, as far as its engine knows it.
#[derive(Clone, Debug)]
pub(crate) struct AgentFacts {
    pub(crate) declaration: AgentDeclaration,
    pub(crate) handlers: Vec<HandlerFacts>,
    pub(crate) schedules: Vec<ScheduleFacts>,
    pub(crate) hooks: HookFacts,
}

/// A handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandlerFacts {
    pub(crate) declaration: JobDeclaration,
    /// Whether it runs alone.
    pub(crate) exclusive: bool,
    /// Whether its price depends on the request.
    pub(crate) quotes: bool,
}

/// A schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScheduleFacts {
    pub(crate) declaration: ScheduleDeclaration,
    pub(crate) exclusive: bool,
}

/// Which hooks there are, each with whether it runs alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HookFacts {
    pub(crate) on_create: Option<bool>,
    pub(crate) on_wake: Option<bool>,
    pub(crate) on_sleep: Option<bool>,
    pub(crate) on_error: Option<bool>,
}

/// A turn of an agent's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    Create,
    Wake,
    Sleep,
    Error,
}

impl Hook {
    pub(crate) const ALL: [Self; 4] = [Self::Create, Self::Wake, Self::Sleep, Self::Error];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "on_create",
            Self::Wake => "on_wake",
            Self::Sleep => "on_sleep",
            Self::Error => "on_error",
        }
    }
}

impl HookFacts {
    /// Whether there is such a hook, and if so whether it runs alone.
    pub(crate) fn exclusive(&self, hook: Hook) -> Option<bool> {
        match hook {
            Hook::Create => self.on_create,
            Hook::Wake => self.on_wake,
            Hook::Sleep => self.on_sleep,
            Hook::Error => self.on_error,
        }
    }
}

impl AgentFacts {
    /// The handler of a kind, with its index.
    pub(crate) fn handler(&self, kind: u16) -> Option<(usize, HandlerFacts)> {
        self.handlers.iter().copied().enumerate().find(|(_, facts)| facts.declaration.kind == kind)
    }
}
