//! `JobError`: a job failed for good, or should be retried. `JobResultExt`: decides that where an error is passed on.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The longest pause before another attempt.
const MAX_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a customer is told of an error that was not written for customers.
pub(crate) const UNTOLD: &str = "the agent failed to do this job";

/// The result of a job handler: its output, or an error.
pub type JobResult<T> = Result<T, JobError>;

/// The error of a job: final or retryable.
///
/// A **final** error ends the job, and its text is sent to the customer. A **retryable** error leads to another
/// attempt after a growing pause, up to the handler's `attempts`. Any other error passed on with `?` is retryable:
/// whatever can be made a `Box<dyn Error + Send + Sync>`, text and `anyhow::Error` among it. Its text was not written for
/// customers, so it is only logged, and the customer is told that the agent failed. [`JobResultExt`] changes that
/// where the error is passed on.
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
///
/// fn first_word(text: &str) -> JobResult<&str> {
///     Ok(text.split(' ').next().ok_or("there is no word")?) // retryable; its text is only logged
/// }
/// # assert!(!parse("x").unwrap_err().is_retryable());
/// # assert!(first_word("a b").is_ok());
/// # assert!(load().unwrap_err().is_retryable());
/// ```
///
/// An error type of your own says what the customer is told by a `From`, if it does not implement
/// [`std::error::Error`]; [`JobResultExt::tell_customer`] is for one that does.
///
/// ```
/// use openagents_sdk::{JobError, JobResult};
///
/// enum Refusal {
///     TooLong { words: usize },
///     Busy,
/// }
///
/// impl From<Refusal> for JobError {
///     fn from(refusal: Refusal) -> Self {
///         match refusal {
///             Refusal::TooLong { words } => JobError::failed(format!("{words} words are too many")),
///             Refusal::Busy => JobError::retry("the translator is busy"),
///         }
///     }
/// }
///
/// fn check(text: &str) -> Result<(), Refusal> {
///     let words = text.split(' ').count();
///     if words > 2 { Err(Refusal::TooLong { words }) } else { Ok(()) }
/// }
///
/// fn translate(text: &str) -> JobResult<String> {
///     check(text)?;
///     Ok(text.to_uppercase())
/// }
/// # let error = translate("a b c").unwrap_err();
/// # assert!(!error.is_retryable() && error.message() == "3 words are too many");
/// # let _ = Refusal::Busy;
/// ```
#[derive(Debug)]
pub struct JobError {
    retryable: bool,
    /// The text for the customer.
    message: Cow<'static, str>,
    /// How long to wait before the next attempt, instead of a growing pause.
    pause: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl JobError {
    /// A final error: the job cannot be done. `message` is sent to the customer.
    pub fn failed(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: false, message: message.into(), pause: None, source: None }
    }

    /// A retryable error: another attempt may succeed. `message` is sent to the customer after the last one.
    pub fn retry(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retryable: true, message: message.into(), pause: None, source: None }
    }

    /// Adds the cause, for the log. It is not sent to the customer.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Makes this error final, so that the job is not tried again.
    #[must_use]
    pub fn into_final(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// Makes this error retryable, after this pause instead of a growing one; at most a day.
    #[must_use]
    pub fn retry_in(mut self, pause: Duration) -> Self {
        self.retryable = true;
        self.pause = Some(pause.min(MAX_PAUSE));
        self
    }

    /// Whether the job is tried again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The pause before the next attempt; `None` for a growing one.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// The cause, if it is an `E`.
    #[must_use]
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
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
        let mut source = self.source.as_deref().map(|error| error as &dyn Error);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

// `JobError` does not implement `Error`: only so can `?` convert any error into one.
impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::retry(UNTOLD).caused_by(error)
    }
}

/// Decides what an error means for the job, where it is passed on.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// fn read(path: &str) -> JobResult<u32> {
///     let text = std::fs::read_to_string(path).retry_in(Duration::from_secs(30))?; // tried again in 30 s
///     let number = text.trim().parse::<u32>().terminal()?; // not tried again; the text is only logged
///     u32::checked_mul(number, 2).ok_or(TooLarge(number)).tell_customer() // not tried again; the customer is told
/// }
///
/// #[derive(Debug)]
/// struct TooLarge(u32);
///
/// impl std::fmt::Display for TooLarge {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "{} is too large", self.0)
///     }
/// }
///
/// impl std::error::Error for TooLarge {}
/// # assert!(read("nowhere").unwrap_err().is_retryable());
/// ```
pub trait JobResultExt<T, E> {
    /// Makes the error final: the job is not tried again. What the customer is told stays the same.
    ///
    /// # Errors
    /// The error, as a final one.
    fn terminal(self) -> JobResult<T>
    where
        E: Into<JobError>;

    /// Makes the error retryable: the job is tried again after this pause (at most a day), up to the handler's
    /// `attempts`. What the customer is told stays the same.
    ///
    /// # Errors
    /// The error, as a retryable one.
    fn retry_in(self, pause: Duration) -> JobResult<T>
    where
        E: Into<JobError>;

    /// Makes the error final, and its text what the customer is told: for errors that are written for customers.
    ///
    /// # Errors
    /// The error, as a final one.
    fn tell_customer(self) -> JobResult<T>
    where
        E: Error + Send + Sync + 'static;
}

impl<T, E> JobResultExt<T, E> for Result<T, E> {
    fn terminal(self) -> JobResult<T>
    where
        E: Into<JobError>,
    {
        self.map_err(|error| error.into().into_final())
    }

    fn retry_in(self, pause: Duration) -> JobResult<T>
    where
        E: Into<JobError>,
    {
        self.map_err(|error| error.into().retry_in(pause))
    }

    fn tell_customer(self) -> JobResult<T>
    where
        E: Error + Send + Sync + 'static,
    {
        self.map_err(|error| JobError {
            message: error.to_string().into(),
            ..JobError::from(error).into_final()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Error, JobError, JobResultExt};

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

    #[test]
    fn takes_whatever_can_be_boxed_as_an_error() {
        let boxed: Box<dyn Error + Send + Sync> = "password=hunter2".into();
        let text = "password=hunter2";
        for error in [JobError::from(text), JobError::from(text.to_owned()), JobError::from(boxed)] {
            assert!(error.is_retryable() && !error.message().contains("hunter2"), "{error:?}");
            assert!(error.to_string().ends_with("password=hunter2"), "{error}");
        }
    }

    #[test]
    fn a_result_says_what_its_error_means() {
        let io = || Err::<(), _>(std::io::Error::other("no disk"));
        let error = io().terminal().unwrap_err();
        assert!(!error.is_retryable() && !error.message().contains("disk"), "{error}");
        let error = io().tell_customer().unwrap_err();
        assert_eq!((error.is_retryable(), error.message()), (false, "no disk"));
        assert!(error.cause::<std::io::Error>().is_some());
        let error = io().tell_customer().retry_in(Duration::from_secs(9)).unwrap_err();
        assert_eq!((error.pause(), error.message()), (Some(Duration::from_secs(9)), "no disk"));
        assert!(error.is_retryable());
        let error = Err::<(), _>("never mind").retry_in(Duration::MAX).unwrap_err();
        assert_eq!(error.pause(), Some(Duration::from_secs(86_400)));
        let error = Err::<(), _>(JobError::retry("later")).terminal().unwrap_err();
        assert_eq!((error.is_retryable(), error.message()), (false, "later"));
    }
}
