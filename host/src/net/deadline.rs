//! `Deadline`: the time limit of an HTTP request, from its first redirect to the last byte of its body.

use std::time::Duration;

use super::error::HttpError;
use super::platform::{Instant, timeout};

/// The time by which a request must be complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    began: Instant,
    after: Duration,
}

impl Deadline {
    /// A deadline this long after now.
    pub(crate) fn after(after: Duration) -> Self {
        Self { began: Instant::now(), after }
    }

    /// The output of `work`, or an error if the time is up before.
    pub(crate) async fn limit<T>(
        &self,
        work: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        let left = self.after.saturating_sub(self.began.elapsed());
        timeout(left, work).await.unwrap_or(Err(HttpError::Timeout { after: self.after }))
    }
}
