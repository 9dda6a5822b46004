//! What is wrong with a line of an import.

use std::fmt;

use openagents_host::nostr::VerifyError;

use crate::limits::MAX_EVENT_BYTES;

/// A line that holds no event that can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
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
    #[error("this is no event: {0}")]
    Form(String),
    /// It is an event, but not a genuine one.
    #[error(transparent)]
    Forged(#[from] VerifyError),
    /// It is longer than an event may be.
    #[error("it is longer than the {MAX_EVENT_BYTES} bytes that an event may have")]
    TooLong,
}

impl From<serde_json::Error> for Defect {
    fn from(error: serde_json::Error) -> Self {
        // There is only one line, whose number is said elsewhere.
        Self::Form(error.to_string().replace(" at line 1 column ", " at column "))
    }
}
