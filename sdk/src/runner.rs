//! Runs the code of an agent for its engine: handlers, schedules, hooks and price functions.

mod carry_out;
mod permits;
mod run;
mod spec;
mod state_cache;

pub(crate) use carry_out::{EffectFuture, HostAction, Services};
use run::{quote, run};
pub(crate) use spec::agent_spec;
pub(crate) use state_cache::{StateCache, StateError};

#[cfg(test)]
mod tests;
