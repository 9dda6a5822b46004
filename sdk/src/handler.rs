//! What the macros generate for every job handler, and what the runtime calls.

use std::pin::Pin;
use std::time::Duration;

use crate::error::JobError;
use crate::extract::InputDeclaration;
use crate::job::JobContext;
use crate::output::Output;

/// A handler's work. It can be moved between threads natively, and need not be on a Worker.
#[cfg(not(target_arch = "wasm32"))]
pub type JobFuture<'a> = Pin<Box<dyn Future<Output = Result<Output, JobError>> + Send + 'a>>;

/// A handler's work. It can be moved between threads natively, and need not be on a Worker.
#[cfg(target_arch = "wasm32")]
pub type JobFuture<'a> = Pin<Box<dyn Future<Output = Result<Output, JobError>> + 'a>>;

/// A job handler of the agent `A`.
#[derive(Debug)]
pub struct Handler<A: 'static> {
    /// What it says about itself.
    pub declaration: JobDeclaration,
    /// How it is run.
    pub run: Run<A>,
}

/// How a handler is run.
#[derive(Debug)]
pub enum Run<A: 'static> {
    /// `&self`: beside other such handlers.
    Shared(for<'a> fn(&'a A, JobContext) -> JobFuture<'a>),
    /// `&mut self`: alone. Its changes are committed together with its outcome.
    Exclusive(for<'a> fn(&'a mut A, JobContext) -> JobFuture<'a>),
}

/// What a handler says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// What its arguments take from the request.
    pub inputs: &'static [Option<InputDeclaration>],
    /// The MIME type of what it returns.
    pub output: &'static str,
}
