//! `JobError`: a job failed for good, or is to be retried.

use std::borrow::Cow;
use std::fmt;

/// What a job handler returns: its output, or why there is none.
pub type JobResult<T> = Result<T, JobError>;

/// Why a job has no output: for good, or for now.
///
/// A **final** error ends the job, and its text is sent to the customer. A **retryable** one is tried again, with growing
/// pauses, as often as the handler's `attempts` allow. Any other error that is passed on with `?` is
/// retryable, and since nobody wrote it for the customer's eyes, it is logged and the customer only learns that the agent failed.
///
/// ```
/// use openagents_sdk::{JobError, JobResult};
///
/// fn parse(text: &str) -> JobResult<u32> {
///     text.parse().map_err(|_| JobError::failed(format!("`{text}` is not a number")))
/// }
///
/// fn load() -> JobResult<String> {
///     Ok(std::fs::read_to_string("model.bin")?) // retryable; its text stays here
/// }
/// # assert!(!parse("x").unwrap_err().is_retryable());
/// # assert!(load().unwrap_err().is_retryable());
/// ```
#[derive(Debug)]
pub struct JobError {
    retryable: bool,
    /// What the customer is told.
    message: Cow<'static, str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl JobError {
    /// The job cannot be done. The customer is told `message`.
    pub fn failed(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: false, message: message.into(), source: None }
    }

    /// The job could not be done now and is worth another attempt. After the last one the customer is told `message`.
    pub fn retry(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: true, message: message.into(), source: None }
    }

    /// Adds what caused it, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Makes this error end the job.
    #[must_use]
    pub fn into_final(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// Whether another attempt may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// What caused it, if that is an `E`.
    #[must_use]
    pub fn cause<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.source.as_deref()?.downcast_ref()
    }

    /// What the customer is told.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// For the log: with what caused it.
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

// `JobError` itself is no `std::error::Error`: that is what lets `?` turn any error into one.
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
