//! Makes an agent's `AgentSpec` from its declarations.

use super::state_change::changed_state;
use crate::author::agent::Jobs;
use crate::author::context::AgentContext;
use crate::author::handler::Run;
use crate::engine::{
    AgentSpec, DirectMessageSpec, EventSpec, HandlerSpec, HookSpec, RouteSpec, ScheduleSpec,
};

/// What the engine needs to know of an agent.
pub(crate) fn agent_spec<A: Jobs>() -> AgentSpec {
    let exclusive = |hook: &Option<Run<A, AgentContext, ()>>| hook.as_ref().map(Run::is_exclusive);
    AgentSpec {
        declaration: A::DECLARATION,
        handlers: A::HANDLERS
            .iter()
            .map(|handler| HandlerSpec {
                declaration: handler.declaration,
                exclusive: handler.run.is_exclusive(),
                quotes: handler.quote.is_some(),
            })
            .collect(),
        schedules: A::SCHEDULES
            .iter()
            .map(|schedule| ScheduleSpec {
                declaration: schedule.declaration,
                exclusive: schedule.run.is_exclusive(),
            })
            .collect(),
        routes: A::ROUTES
            .iter()
            .map(|route| RouteSpec { declaration: route.declaration, exclusive: route.run.is_exclusive() })
            .collect(),
        events: A::EVENTS
            .iter()
            .map(|event| EventSpec { declaration: event.declaration, exclusive: event.run.is_exclusive() })
            .collect(),
        direct_message: A::DIRECT_MESSAGE.map(|handler| DirectMessageSpec {
            declaration: handler.declaration,
            exclusive: handler.run.is_exclusive(),
        }),
        hooks: HookSpec {
            on_create: exclusive(&A::HOOKS.on_create),
            on_wake: exclusive(&A::HOOKS.on_wake),
            on_sleep: exclusive(&A::HOOKS.on_sleep),
            on_error: exclusive(&A::HOOKS.on_error),
        },
        change_state: |snapshot, change| {
            changed_state::<A>(snapshot, change).map_err(|error| error.to_string())
        },
    }
}
