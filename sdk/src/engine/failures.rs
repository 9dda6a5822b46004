//! Jobs that failed for good, until `on_error` is told of them.

use std::collections::VecDeque;

use openagents_host::EventId;

use crate::context::JobFailure;

/// How many failures are kept; `on_error` is told of the last ones.
const KEPT: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Failures {
    untold: VecDeque<JobFailure>,
    /// The one that `on_error` is being told of.
    telling: Option<JobFailure>,
}

impl Failures {
    pub(super) fn note(&mut self, failure: JobFailure) {
        if self.untold.len() >= KEPT {
            self.untold.pop_front();
        }
        self.untold.push_back(failure);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.untold.is_empty()
    }

    /// The one to tell next.
    pub(super) fn tell(&mut self) -> Option<JobFailure> {
        self.telling = self.untold.pop_front();
        self.telling.clone()
    }

    /// The run that was to be told of one did not begin.
    pub(super) fn not_told(&mut self) {
        if let Some(failure) = self.telling.take() {
            self.untold.push_front(failure);
        }
    }

    /// The requests of those that are not told yet.
    pub(super) fn requests(&self) -> Vec<EventId> {
        self.untold.iter().map(|failure| failure.request).collect()
    }

    /// Drops what did not come to pass.
    pub(super) fn retain(&mut self, mut has_failed: impl FnMut(&EventId) -> bool) {
        self.untold.retain(|failure| has_failed(&failure.request));
    }
}
