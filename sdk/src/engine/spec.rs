//! `AgentSpec`: what the engine knows of an agent: its declarations, without its code.

use std::time::Duration;

use super::vocabulary::Hook;
use crate::declaration::{AgentDeclaration, JobDeclaration, RouteDeclaration, ScheduleDeclaration};

/// The timeout of a hook.
pub(crate) const HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// What the engine knows of an agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentSpec {
    pub(crate) declaration: AgentDeclaration,
    pub(crate) handlers: Vec<HandlerSpec>,
    pub(crate) schedules: Vec<ScheduleSpec>,
    pub(crate) routes: Vec<RouteSpec>,
    pub(crate) hooks: HookSpec,
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
    /// The handler for a job kind, with its index.
    pub(crate) fn handler(&self, kind: u16) -> Option<(usize, HandlerSpec)> {
        self.handlers.iter().copied().enumerate().find(|(_, spec)| spec.declaration.kind == kind)
    }
}
