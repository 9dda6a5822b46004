//! The job at hand, as its handler sees it.

use std::sync::Arc;
use std::time::Duration;

pub use crate::nip90::JobRequest;

use crate::clock;

/// The job at hand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JobContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request: JobRequest,
    attempt: u32,
}

impl JobContext {
    pub(crate) fn new(request: JobRequest, attempt: u32) -> Self {
        Self(Arc::new(Inner { request, attempt }))
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

    /// Waits, on either host. The handler's `timeout` goes on counting.
    pub async fn sleep(&self, duration: Duration) {
        clock::sleep(duration).await;
    }
}
