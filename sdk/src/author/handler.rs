//! What the macros generate for every handler, schedule and hook, and what the runtime calls.

use std::pin::Pin;

use super::context::AgentContext;
use super::job::JobContext;
use crate::declaration::{JobDeclaration, ScheduleDeclaration};
use crate::engine::Output;
use crate::error::JobError;
use crate::nip90::JobRequest;
use crate::price::Price;

/// A handler's work. It can be moved between threads natively, and need not be on a Worker.
#[cfg(not(target_arch = "wasm32"))]
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, JobError>> + Send + 'a>>;

/// A handler's work. It can be moved between threads natively, and need not be on a Worker.
#[cfg(target_arch = "wasm32")]
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, JobError>> + 'a>>;

/// A job handler of the agent `A`.
#[derive(Debug)]
pub struct Handler<A: 'static> {
    /// What it says about itself.
    pub declaration: JobDeclaration,
    /// How its price is found, where it depends on the request.
    pub quote: Option<Quote<A>>,
    /// How it is run.
    pub run: Run<A, JobContext, Output>,
}

/// Says what a request would cost. Written by `#[price]`.
pub type Quote<A> = fn(&A, &JobRequest) -> Result<Price, JobError>;

/// How a handler, a schedule or a hook is run: on what (`A`), with what (`C`), giving what (`T`).
#[derive(Debug)]
pub enum Run<A: 'static, C: 'static, T: 'static> {
    /// `&self`: beside other such handlers.
    Shared(for<'a> fn(&'a A, C) -> Work<'a, T>),
    /// `&mut self`: alone. Its changes are committed together with its outcome.
    Exclusive(for<'a> fn(&'a mut A, C) -> Work<'a, T>),
}

// Derived, these would ask the same of the parameters.
impl<A, C, T> Clone for Run<A, C, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, C, T> Copy for Run<A, C, T> {}

impl<A, C, T> Run<A, C, T> {
    /// Whether it runs alone.
    #[must_use]
    pub const fn is_exclusive(&self) -> bool {
        matches!(self, Self::Exclusive(_))
    }
}

/// Something that an agent does by the clock. Written by `#[schedule]`.
#[derive(Debug)]
pub struct Schedule<A: 'static> {
    /// What it says about itself.
    pub declaration: ScheduleDeclaration,
    /// How it is run.
    pub run: Run<A, AgentContext, ()>,
}

/// What an agent does at the turns of its life. Written by `#[on_create]`, `#[on_wake]`, `#[on_sleep]`, `#[on_error]` and
/// `#[migrate]`.
#[derive(Debug)]
pub struct Hooks<A: 'static> {
    /// Once, before its first job.
    pub on_create: Option<Run<A, AgentContext, ()>>,
    /// Before its first job since it slept, or since its process started.
    pub on_wake: Option<Run<A, AgentContext, ()>>,
    /// When it has had nothing to do for a while.
    pub on_sleep: Option<Run<A, AgentContext, ()>>,
    /// After a job has failed for good; [`AgentContext::failure`] says which.
    pub on_error: Option<Run<A, AgentContext, ()>>,
    /// Turns a state that an earlier version stored into one that this version reads.
    pub migrate: Option<Migrate>,
}

/// Turns the stored state of an earlier `state_version` into today's.
pub type Migrate = fn(version: u32, state: serde_json::Value) -> Result<serde_json::Value, JobError>;

impl<A> Hooks<A> {
    /// No hooks.
    pub const NONE: Self =
        Self { on_create: None, on_wake: None, on_sleep: None, on_error: None, migrate: None };
}
