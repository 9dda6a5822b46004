//! What a customer is told when the URL of an input cannot be fetched.

use openagents_host::net::{AddressError, HttpError};

use crate::error::JobError;

/// What the customer is told of a status other than success.
pub(super) fn failed_status(status: u16) -> JobError {
    let text = format!("the input URL returned HTTP status {status}");
    // 408, 425, 429 and server errors may go away.
    let may_change = matches!(status, 408 | 425 | 429 | 500..);
    if may_change { JobError::retry(text) } else { JobError::failed(text) }
}

/// What the customer is told. Details of the agent's own network, such as what a name resolves to, stay in the log.
pub(super) fn explain(error: HttpError) -> JobError {
    let (text, may_change) = match &error {
        HttpError::Address(AddressError::Resolved { .. }) | HttpError::Connect(_) | HttpError::Network(_) => {
            ("the input URL could not be reached".to_owned(), true)
        }
        HttpError::Address(error) => (format!("the input URL cannot be fetched: {error}"), false),
        HttpError::Redirects { limit } => (format!("the input URL redirects more than {limit} times"), false),
        HttpError::TooLarge { limit } => {
            (format!("what is at the input URL is larger than {limit} bytes"), false)
        }
        HttpError::Timeout { after } => {
            (format!("the input URL did not respond completely within {after:?}"), true)
        }
        _ => return JobError::from(error),
    };
    let told = if may_change { JobError::retry(text) } else { JobError::failed(text) };
    told.caused_by(error.to_string())
}
