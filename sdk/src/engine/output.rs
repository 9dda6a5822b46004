//! `Output`: the output of a job: the content of its result event, and additional tags.

use serde::Serialize;

use crate::error::JobError;

/// The output of a job: the content of its result event, and additional tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The content of the result event.
    pub content: String,
    /// Additional tags of the result event.
    pub tags: Vec<Vec<String>>,
}

impl Output {
    /// An output with this content.
    pub fn new(content: impl Into<String>) -> Self {
        Self { content: content.into(), tags: Vec::new() }
    }

    /// An output with this value, written as JSON.
    ///
    /// # Errors
    /// When it cannot be written as JSON, for example a map whose keys are not strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, JobError> {
        let content = serde_json::to_string(value).map_err(|error| {
            JobError::failed("the agent's output could not be written as JSON").caused_by(error)
        })?;
        Ok(Self::new(content))
    }

    /// Adds a tag `m` (NIP-94) with the content's MIME type, for a handler whose output format depends on the request
    /// ([`JobRequest::output`](crate::JobRequest::output)).
    ///
    /// ```
    /// use openagents_sdk::prelude::*;
    ///
    /// async fn transcribe(request: JobRequest) -> JobResult<Output> {
    ///     Ok(match request.output.iter().any(|mime| mime == "text/vtt") {
    ///         true => Output::new("WEBVTT\n\n00:00.000 --> 00:01.000\nHello").mime("text/vtt"),
    ///         false => Output::new("Hello").mime("text/plain"),
    ///     })
    /// }
    /// ```
    #[must_use]
    pub fn mime(self, mime: &str) -> Self {
        self.tag(["m", mime])
    }

    /// Adds a tag to the result event. Tags are not encrypted. NIP-90's own tags (`request`, `e`, `p`, `i`, `amount`,
    /// `encrypted`, `status`) are dropped.
    #[must_use]
    pub fn tag<T: Into<String>>(mut self, tag: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tag.into_iter().map(Into::into).collect());
        self
    }
}
