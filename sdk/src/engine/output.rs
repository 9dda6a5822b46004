//! The output of a job: the content of its result event, and tags to add to it.

use serde::Serialize;

use crate::error::JobError;

/// What a job produced: the content of its result event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The content.
    pub content: String,
    /// Tags to add to the result event.
    pub tags: Vec<Vec<String>>,
}

impl Output {
    /// An output of this content.
    pub fn new(content: impl Into<String>) -> Self {
        Self { content: content.into(), tags: Vec::new() }
    }

    /// An output of this value, written as JSON.
    ///
    /// # Errors
    /// When it cannot be written as JSON, as a map whose keys are no texts.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, JobError> {
        let content = serde_json::to_string(value).map_err(|error| {
            JobError::failed("the agent's answer could not be written as JSON").caused_by(error)
        })?;
        Ok(Self::new(content))
    }

    /// Says which MIME type the content of this very result has, in a tag `m` (NIP-94): for a handler whose output depends
    /// on what the customer would like ([`JobRequest::output`](crate::JobRequest::output)).
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

    /// Adds a tag to the result event. It stays in clear, and cannot be one of NIP-90's own (`request`, `e`, `p`, `i`,
    /// `amount`, `encrypted`, `status`): such a tag is left out.
    #[must_use]
    pub fn tag<T: Into<String>>(mut self, tag: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tag.into_iter().map(Into::into).collect());
        self
    }
}
