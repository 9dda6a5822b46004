//! The only place where the test kit panics.

use std::fmt;

/// Fails the test.
#[track_caller]
#[expect(clippy::panic, reason = "a test is failed by a panic, at the line of the test")]
pub(super) fn fail(message: fmt::Arguments<'_>) -> ! {
    panic!("{message}")
}

/// Returns the value, or fails the test.
pub(super) trait OrFail<T> {
    /// `what` is the message that precedes the error.
    fn or_fail(self, what: impl fmt::Display) -> T;
}

impl<T, E: fmt::Display> OrFail<T> for Result<T, E> {
    #[track_caller]
    fn or_fail(self, what: impl fmt::Display) -> T {
        match self {
            Ok(value) => value,
            Err(error) => fail(format_args!("{what}: {error}")),
        }
    }
}
