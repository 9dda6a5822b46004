//! What the macros generate for every handler, schedule and hook, and what the runtime calls.

use std::pin::Pin;
use std::time::Duration;

use crate::context::AgentContext;
use crate::error::JobError;
use crate::extract::InputDeclaration;
use crate::job::{JobContext, JobRequest};
use crate::output::Output;
use crate::params::ParamDeclaration;
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

/// What a handler says about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JobDeclaration {
    /// The kind of request it answers: 5000 to 5999 (NIP-90).
    pub kind: u16,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// How long it may run.
    pub timeout: Duration,
    /// How often it is tried when it fails retryably or is interrupted.
    pub attempts: u32,
    /// What every job costs; `#[price]` may find another price for a request.
    pub price: Price,
    /// What its arguments take from the request.
    pub inputs: &'static [Option<InputDeclaration>],
    /// Which parameters its arguments read.
    pub params: &'static [&'static [ParamDeclaration]],
    /// The MIME type of what it returns.
    pub output: &'static str,
}

impl JobDeclaration {
    /// A free handler that takes nothing and returns text, with the default limits.
    #[must_use]
    pub const fn new(kind: u16, name: &'static str) -> Self {
        Self {
            kind,
            name,
            about: "",
            timeout: Duration::from_secs(60),
            attempts: 3,
            price: Price::FREE,
            inputs: &[],
            params: &[],
            output: "text/plain",
        }
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

/// What a schedule says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleDeclaration {
    /// Its name, under which its times are kept: a redeployed agent goes on where the last one stopped.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// When.
    pub rhythm: Rhythm,
    /// How long it may run.
    pub timeout: Duration,
}

/// When a schedule is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// This long after it was due last.
    Every(Duration),
    /// At the times of a cron expression of five fields, in UTC.
    Cron(&'static str),
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
