//! The return types of schedules, hooks, price functions and migrations.

use crate::error::JobError;
use crate::price::Price;

/// What a schedule or a hook returns: whether it succeeded.
#[diagnostic::on_unimplemented(
    message = "a schedule or hook cannot return `{Self}`",
    label = "not a `JobResult<()>`",
    note = "schedules and hooks return `JobResult<()>`: when they fail, what they changed is not kept"
)]
pub trait RunReturn {
    /// Converts it.
    ///
    /// # Errors
    /// The function's own.
    fn into_result(self) -> Result<(), JobError>;
}

impl<E: Into<JobError>> RunReturn for Result<(), E> {
    fn into_result(self) -> Result<(), JobError> {
        self.map_err(Into::into)
    }
}

/// What a `#[price]` function returns: a price, or why the request cannot be served at any.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a price",
    label = "not a `Price`",
    note = "`#[price]` functions return `Price` or `JobResult<Price>`, as in `Price::sat(21)`"
)]
pub trait QuoteReturn {
    /// Converts it.
    ///
    /// # Errors
    /// The function's own.
    fn into_quote(self) -> Result<Price, JobError>;
}

impl QuoteReturn for Price {
    fn into_quote(self) -> Result<Price, JobError> {
        Ok(self)
    }
}

impl<E: Into<JobError>> QuoteReturn for Result<Price, E> {
    fn into_quote(self) -> Result<Price, JobError> {
        self.map_err(Into::into)
    }
}

/// What a `#[migrate]` function returns: the state as this version stores it.
#[diagnostic::on_unimplemented(
    message = "a migration cannot return `{Self}`",
    label = "not a `JobResult` of a state",
    note = "migrations return `JobResult<serde_json::Value>`: the state as this version stores it"
)]
pub trait MigrateReturn {
    /// Converts it.
    ///
    /// # Errors
    /// The function's own.
    fn into_state(self) -> Result<serde_json::Value, JobError>;
}

impl<E: Into<JobError>> MigrateReturn for Result<serde_json::Value, E> {
    fn into_state(self) -> Result<serde_json::Value, JobError> {
        self.map_err(Into::into)
    }
}
