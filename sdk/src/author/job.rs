//! `JobContext`: the request that a handler works on, with progress and partial results.

use std::ops::Deref;
use std::sync::Arc;

use super::context::AgentContext;
use super::memory::Session;
use crate::engine::{JobOutput, Lease, Report, RunId};
use crate::nip90::JobRequest;

/// The job that a handler works on. Derefs to the [`AgentContext`]. Cheap to clone.
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

    /// The job request.
    #[must_use]
    pub fn request(&self) -> &JobRequest {
        &self.0.request
    }

    /// The number of this attempt, counted from 1. A later attempt follows a retryable error or an interruption, so
    /// whatever an earlier attempt did outside the agent's own state may have happened already.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The conversation with the customer, which spans all their jobs.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self.0.agent_context.clone(), self.0.request.customer())
    }

    /// Tells the customer how far the job is, as `processing` feedback. At most one such feedback is sent per second:
    /// the latest.
    pub fn progress(&self, text: impl Into<String>) {
        self.report(Report::Progress(text.into()));
    }

    /// Shows the customer the whole output so far, as `partial` feedback. At most one such feedback is sent per
    /// second: the latest.
    pub fn partial(&self, output_so_far: impl Into<String>) {
        self.report(Report::Partial(output_so_far.into()));
    }

    /// The output of the job with this id, if a `job` input names it.
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
