//! The return types of schedules, hooks, price functions and migrations, and the error of any of these.

use crate::error::JobError;
use crate::price::Price;

/// The error with which a handler, schedule, hook, price function or migration can fail.
#[diagnostic::on_unimplemented(
    message = "a handler cannot fail with `{Self}`",
    label = "its error is not an `std::error::Error`",
    note = "return `JobResult<T>`, whose error any `std::error::Error` or text is converted into by `?`",
    note = "or implement `std::error::Error` for `{Self}`; or `From<{Self}>` for `JobError`, to say what the customer is told"
)]
pub trait HandlerError {
    /// Converts it.
    fn into_job_error(self) -> JobError;
}

#[diagnostic::do_not_recommend]
impl<E: Into<JobError>> HandlerError for E {
    fn into_job_error(self) -> JobError {
        self.into()
    }
}

/// The return type of a schedule or hook.
#[diagnostic::on_unimplemented(
    message = "a schedule or hook cannot return `{Self}`",
    label = "not a `JobResult<()>`",
    note = "schedules and hooks return `JobResult<()>`: when they fail, their changes are dropped"
)]
pub trait RunReturn {
    /// Converts it to a result.
    ///
    /// # Errors
    /// The function's own error.
    fn into_result(self) -> Result<(), JobError>;
}

impl<E: HandlerError> RunReturn for Result<(), E> {
    fn into_result(self) -> Result<(), JobError> {
        self.map_err(HandlerError::into_job_error)
    }
}

/// The return type of a `#[price]` function: a price, or an error if the request cannot be served.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a price",
    label = "not a `Price`",
    note = "`#[price]` functions return `Price` or `JobResult<Price>`, as in `Price::sat(21)`"
)]
pub trait QuoteReturn {
    /// Converts it to a result.
    ///
    /// # Errors
    /// The function's own error.
    fn into_quote(self) -> Result<Price, JobError>;
}

impl QuoteReturn for Price {
    fn into_quote(self) -> Result<Price, JobError> {
        Ok(self)
    }
}

impl<E: HandlerError> QuoteReturn for Result<Price, E> {
    fn into_quote(self) -> Result<Price, JobError> {
        self.map_err(HandlerError::into_job_error)
    }
}

/// The return type of a `#[migrate]` function: the state in the current form.
#[diagnostic::on_unimplemented(
    message = "a migration cannot return `{Self}`",
    label = "not a `JobResult` of a state",
    note = "migrations return `JobResult<serde_json::Value>`: the state in the current form"
)]
pub trait MigrateReturn {
    /// Converts it to a result.
    ///
    /// # Errors
    /// The function's own error.
    fn into_state(self) -> Result<serde_json::Value, JobError>;
}

impl<E: HandlerError> MigrateReturn for Result<serde_json::Value, E> {
    fn into_state(self) -> Result<serde_json::Value, JobError> {
        self.map_err(HandlerError::into_job_error)
    }
}
