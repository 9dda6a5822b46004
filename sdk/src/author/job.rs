//! `JobContext`: the request that a handler works on, with progress and partial results.

use std::ops::Deref;
use std::sync::Arc;

use super::context::AgentContext;
use super::memory::Session;
use crate::engine::{JobOutput, Lease, Report, RunId};
use crate::nip90::JobRequest;

/// The job at hand, and through `Deref` what is around it ([`AgentContext`]). Cheap to clone.
#[derive(Clone, Debug)]
pub struct JobContext(Arc<JobContextInner>);

#[derive(Debug)]
struct JobContextInner {
    request: JobRequest,
    outputs: Vec<JobOutput>,
    attempt: u32,
    agent_context: AgentContext,
}

impl JobContext {
    pub(crate) fn new(
        request: JobRequest,
        outputs: Vec<JobOutput>,
        attempt: u32,
        agent_context: AgentContext,
    ) -> Self {
        Self(Arc::new(JobContextInner { request, outputs, attempt, agent_context }))
    }

    /// The request that is being worked on.
    #[must_use]
    pub fn request(&self) -> &JobRequest {
        &self.0.request
    }

    /// Which attempt this is, counted from 1. A later one follows a retryable error, or an interruption: then
    /// everything outside the agent's own state may have happened already.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The conversation with the customer, over all their jobs.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self.0.agent_context.clone(), self.0.request.customer())
    }

    /// Tells the customer how far the work is, as `processing` feedback. When much is said within a second, the customer
    /// hears the last of it.
    pub fn progress(&self, text: impl Into<String>) {
        self.report(Report::Progress(text.into()));
    }

    /// Shows the customer what there is of the output so far, all of it, as `partial` feedback. When much is shown within a
    /// second, the customer sees the last of it.
    pub fn partial(&self, output_so_far: impl Into<String>) {
        self.report(Report::Partial(output_so_far.into()));
    }

    /// What a job input named by this id produced.
    pub(crate) fn output_of(&self, id: &str) -> Option<&str> {
        let output = self.0.outputs.iter().find(|output| output.event.to_hex() == id)?;
        Some(&output.content)
    }

    pub(crate) fn agent_context(&self) -> &AgentContext {
        &self.0.agent_context
    }

    fn report(&self, report: Report) {
        let lease = Lease { run: RunId::Job(self.0.request.id()), attempt: self.0.attempt };
        self.0.agent_context.host().report(lease, report);
    }
}

impl Deref for JobContext {
    type Target = AgentContext;

    fn deref(&self) -> &AgentContext {
        &self.0.agent_context
    }
}
