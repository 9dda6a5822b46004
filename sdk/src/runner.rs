//! Runs the agent's code for the engine: handlers, schedules, hooks and price functions.

#[cfg(not(target_arch = "wasm32"))]
mod blocking;
mod carry_out;
mod permits;
mod run;
mod spec;
mod state_cache;
mod state_change;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use carry_out::EffectFuture;
pub(crate) use carry_out::{HostAction, Services};
use run::{quote, run};
pub(crate) use spec::agent_spec;
pub(crate) use state_cache::StateCache;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use state_cache::StateError;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use state_cache::check_snapshot;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use state_change::{StateChangeError, changed_state};

#[cfg(test)]
mod tests;
