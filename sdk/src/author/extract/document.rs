//! `Document`: the text at a `url` input.

use openagents_host::net::{AddressError, FetchError, FetchRequest, Fetched, Url};

use super::FromInput;
use crate::author::context::AgentContext;
use crate::author::job::JobContext;
use crate::declaration::InputDeclaration;
use crate::error::JobError;
use crate::nip90::{InputKind, JobInput};

/// How many documents one job may name.
const MAX_DOCUMENTS: usize = 8;

/// The text at the address that a `url` input names, fetched.
///
/// It may take 20 seconds, and the documents of one job have 5 MB together. An address that is not public, a status other
/// than success, or something that is no text is an error that tells the customer so. For other limits a handler takes the
/// [`Url`] and calls [`Document::fetch`]; for what is no text, [`AgentContext::fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// Where it came from: after redirects, not what was asked for.
    pub url: Url,
    /// Its MIME type as the server says, in lowercase and without parameters, such as `text/html`.
    pub content_type: Option<String>,
    /// The text itself. What is not UTF-8 is replaced by `�`.
    pub text: String,
}

impl Document {
    /// Fetches the text at an address within the request's limits.
    ///
    /// # Errors
    /// When there is no text to be had: an error that says so to the customer, and is retryable if that may change.
    pub async fn fetch(context: &AgentContext, request: FetchRequest) -> Result<Self, JobError> {
        match context.fetch(request).await {
            Ok(fetched) => Self::read(fetched),
            Err(error) => Err(explain(error)),
        }
    }

    fn read(fetched: Fetched) -> Result<Self, JobError> {
        if !fetched.is_success() {
            let text = format!("the address given as input answered with the HTTP status {}", fetched.status);
            // Too early, too many, and what is wrong with the server: that may be over soon.
            let may_change = matches!(fetched.status, 408 | 425 | 429 | 500..);
            return Err(if may_change { JobError::retry(text) } else { JobError::failed(text) });
        }
        let essence = |header: &String| {
            header
                .split(';')
                .next()
                .map(|essence| essence.trim().to_ascii_lowercase())
                .filter(|it| !it.is_empty())
        };
        let content_type = fetched.content_type.as_ref().and_then(essence);
        match text(fetched.body, content_type.as_deref()) {
            Some(text) => Ok(Self { url: fetched.url, content_type, text }),
            None => Err(JobError::failed(format!(
                "what is at the address given as input is no text, but {}",
                content_type.as_deref().unwrap_or("something else")
            ))),
        }
    }
}

impl FromInput for Document {
    const INPUT: InputDeclaration = InputDeclaration {
        input_type: "url",
        mime_types: &["text/plain", "text/html", "text/markdown", "application/json"],
        required: true,
    };

    const KINDS: &'static [InputKind] = &[InputKind::Url];

    async fn from_inputs(context: &JobContext, inputs: &[&JobInput]) -> Result<Vec<Self>, JobError> {
        if inputs.len() > MAX_DOCUMENTS {
            let text = format!("this job can fetch {MAX_DOCUMENTS} addresses at most, not {}", inputs.len());
            return Err(JobError::failed(text));
        }
        let mut documents = Vec::new();
        let mut bytes_left = None;
        for input in inputs {
            let mut request = FetchRequest::get(&input.data);
            let limit = bytes_left.unwrap_or(request.limits.max_bytes);
            request.limits.max_bytes = limit;
            let document = Self::fetch(context, request).await?;
            bytes_left = Some(limit.saturating_sub(document.text.len()));
            documents.push(document);
        }
        Ok(documents)
    }
}

/// The body as text: whatever its type, if it can be one; else only if the server says that it is.
fn text(body: Vec<u8>, content_type: Option<&str>) -> Option<String> {
    let is_said_to_be = content_type.is_some_and(|content_type| content_type.starts_with("text/"));
    let text = match String::from_utf8(body) {
        Ok(text) if text.contains('\0') && !is_said_to_be => return None,
        Ok(text) => text,
        Err(error) if is_said_to_be => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        Err(_) => return None,
    };
    Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// What a customer is told. How the agent's own network is made, such as where a name leads to in it, stays in the log.
fn explain(error: JobError) -> JobError {
    let (text, may_change) = match error.cause::<FetchError>() {
        Some(FetchError::Address(AddressError::Resolved { .. }) | FetchError::Network(_)) => {
            ("the address given as input could not be reached".to_owned(), true)
        }
        Some(FetchError::Address(error)) => {
            (format!("the address given as input cannot be fetched: {error}"), false)
        }
        Some(FetchError::Redirects { limit }) => {
            (format!("the address given as input redirects more than {limit} times"), false)
        }
        Some(FetchError::TooLarge { limit }) => {
            (format!("what is at the address given as input is larger than {limit} bytes"), false)
        }
        Some(FetchError::Timeout { after }) => {
            (format!("the address given as input did not answer completely within {after:?}"), true)
        }
        _ => return error,
    };
    let told = if may_change { JobError::retry(text) } else { JobError::failed(text) };
    told.caused_by(error.to_string())
}

#[cfg(test)]
mod tests;
