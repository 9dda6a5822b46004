//! Failed jobs not yet passed to `on_error`.

use std::collections::VecDeque;

use openagents_host::EventId;

use crate::engine::JobFailure;

/// How many failures are kept; older ones are dropped.
const MAX_FAILURES: usize = 100;

#[derive(Debug, Default)]
pub(in crate::engine) struct Failures {
    untold: VecDeque<JobFailure>,
    /// The failure that `on_error` is running for.
    telling: Option<JobFailure>,
}

impl Failures {
    pub(in crate::engine) fn note(&mut self, failure: JobFailure) {
        if self.untold.len() >= MAX_FAILURES {
            self.untold.pop_front();
        }
        self.untold.push_back(failure);
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.untold.is_empty()
    }

    /// The next failure to pass to `on_error`.
    pub(in crate::engine) fn tell(&mut self) -> Option<JobFailure> {
        self.telling = self.untold.pop_front();
        self.telling.clone()
    }

    /// The run of `on_error` did not start.
    pub(in crate::engine) fn not_told(&mut self) {
        if let Some(failure) = self.telling.take() {
            self.untold.push_front(failure);
        }
    }

    /// The request ids of the failures not yet passed on.
    pub(in crate::engine) fn requests(&self) -> Vec<EventId> {
        self.untold.iter().map(|failure| failure.request).collect()
    }

    /// Drops failures whose transaction was rolled back.
    pub(in crate::engine) fn retain(&mut self, mut has_failed: impl FnMut(&EventId) -> bool) {
        self.untold.retain(|failure| has_failed(&failure.request));
    }
}
