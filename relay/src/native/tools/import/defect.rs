//! Why a line of an import is bad.

use std::fmt;

use openagents_host::nostr::VerifyError;

use crate::limits::MAX_EVENT_BYTES;

/// A line without a valid event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The line number, starting at 1.
    pub line: u64,
    /// What is wrong with the line.
    pub defect: Defect,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.defect)
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// It is not the JSON of an event.
    #[error("not an event: {0}")]
    Form(String),
    /// It is an event, but its id or signature is wrong.
    #[error(transparent)]
    Forged(#[from] VerifyError),
    /// It is longer than an event may be.
    #[error("longer than the {MAX_EVENT_BYTES} bytes that an event may have")]
    TooLong,
}

impl From<serde_json::Error> for Defect {
    fn from(error: serde_json::Error) -> Self {
        // The text is a single line, and its number is reported separately.
        Self::Form(error.to_string().replace(" at line 1 column ", " at column "))
    }
}
