//! Failed jobs that `on_error` has yet to be told of.

use std::collections::VecDeque;

use openagents_host::EventId;

use crate::engine::JobFailure;

/// How many failures are kept; `on_error` is told of the last ones.
const MAX_FAILURES: usize = 100;

#[derive(Debug, Default)]
pub(in crate::engine) struct Failures {
    untold: VecDeque<JobFailure>,
    /// The one that `on_error` is being told of.
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

    /// The one to tell next.
    pub(in crate::engine) fn tell(&mut self) -> Option<JobFailure> {
        self.telling = self.untold.pop_front();
        self.telling.clone()
    }

    /// The run that was to be told of one did not begin.
    pub(in crate::engine) fn not_told(&mut self) {
        if let Some(failure) = self.telling.take() {
            self.untold.push_front(failure);
        }
    }

    /// The requests of those that are not told yet.
    pub(in crate::engine) fn requests(&self) -> Vec<EventId> {
        self.untold.iter().map(|failure| failure.request).collect()
    }

    /// Drops what did not come to pass.
    pub(in crate::engine) fn retain(&mut self, mut has_failed: impl FnMut(&EventId) -> bool) {
        self.untold.retain(|failure| has_failed(&failure.request));
    }
}
