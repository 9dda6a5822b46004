//! Runs the code of an agent for its engine: handlers, schedules, hooks and price functions.

mod run;
mod spec;
mod state_cache;

pub(crate) use run::{quote, run};
pub(crate) use spec::agent_spec;
pub(crate) use state_cache::StateCache;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use state_cache::StateError;

#[cfg(test)]
mod tests;
