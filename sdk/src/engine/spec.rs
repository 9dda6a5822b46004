//! The specification of an agent for its engine: its declarations, without its code.

use std::time::Duration;

use super::vocabulary::Hook;
use crate::declaration::{AgentDeclaration, JobDeclaration, ScheduleDeclaration};

/// How long a hook may take.
pub(crate) const HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// An agent, as far as its engine knows it.
#[derive(Clone, Debug)]
pub(crate) struct AgentSpec {
    pub(crate) declaration: AgentDeclaration,
    pub(crate) handlers: Vec<HandlerSpec>,
    pub(crate) schedules: Vec<ScheduleSpec>,
    pub(crate) hooks: HookSpec,
}

/// A handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandlerSpec {
    pub(crate) declaration: JobDeclaration,
    /// Whether it runs alone.
    pub(crate) exclusive: bool,
    /// Whether its price depends on the request.
    pub(crate) quotes: bool,
}

/// A schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScheduleSpec {
    pub(crate) declaration: ScheduleDeclaration,
    pub(crate) exclusive: bool,
}

/// Which hooks there are, each with whether it runs alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HookSpec {
    pub(crate) on_create: Option<bool>,
    pub(crate) on_wake: Option<bool>,
    pub(crate) on_sleep: Option<bool>,
    pub(crate) on_error: Option<bool>,
}

impl HookSpec {
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

impl AgentSpec {
    /// The handler of a kind, with its index.
    pub(crate) fn handler(&self, kind: u16) -> Option<(usize, HandlerSpec)> {
        self.handlers.iter().copied().enumerate().find(|(_, spec)| spec.declaration.kind == kind)
    }
}
