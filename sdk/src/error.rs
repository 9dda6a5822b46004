//! `JobError`: a job failed for good, or should be retried.

use std::borrow::Cow;
use std::fmt;

/// The result of a job handler: its output, or an error.
pub type JobResult<T> = Result<T, JobError>;

/// The error of a job: final or retryable.
///
/// A **final** error ends the job, and its text is sent to the customer. A **retryable** error leads to another
/// attempt after a growing pause, up to the handler's `attempts`. Any other error passed on with `?` is retryable.
/// Its text was not written for customers, so it is only logged, and the customer is told that the agent failed.
///
/// ```
/// use openagents_sdk::{JobError, JobResult};
///
/// fn parse(text: &str) -> JobResult<u32> {
///     text.parse().map_err(|_| JobError::failed(format!("`{text}` is not a number")))
/// }
///
/// fn load() -> JobResult<String> {
///     Ok(std::fs::read_to_string("model.bin")?) // retryable; its text is only logged
/// }
/// # assert!(!parse("x").unwrap_err().is_retryable());
/// # assert!(load().unwrap_err().is_retryable());
/// ```
#[derive(Debug)]
pub struct JobError {
    retryable: bool,
    /// The text for the customer.
    message: Cow<'static, str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl JobError {
    /// A final error: the job cannot be done. `message` is sent to the customer.
    pub fn failed(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: false, message: message.into(), source: None }
    }

    /// A retryable error: another attempt may succeed. `message` is sent to the customer after the last one.
    pub fn retry(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: true, message: message.into(), source: None }
    }

    /// Adds the cause, for the log. It is not sent to the customer.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Makes this error final, so that the job is not tried again.
    #[must_use]
    pub fn into_final(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// Whether the job is tried again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The cause, if it is an `E`.
    #[must_use]
    pub fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.source.as_deref()?.downcast_ref()
    }

    /// The text for the customer.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// For the log: the message and its cause.
impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut source = self.source.as_deref().map(|error| error as &dyn std::error::Error);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

// `JobError` does not implement `std::error::Error`: only so can `?` convert any error into one.
impl<E: std::error::Error + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::retry("the agent failed to do this job").caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::JobError;

    #[test]
    fn tells_the_customer_nothing_that_was_not_written_for_them() {
        let inner = std::io::Error::other("password=hunter2");
        let error = JobError::from(inner);
        assert!(error.is_retryable());
        assert!(!error.message().contains("hunter2"));
        assert!(error.to_string().ends_with("password=hunter2"), "{error}");
    }

    #[test]
    fn keeps_retryable_and_final_apart() {
        assert!(!JobError::failed("no").is_retryable());
        assert!(JobError::retry("later").is_retryable());
        assert!(!JobError::retry("later").into_final().is_retryable());
    }
}
