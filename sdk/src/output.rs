//! What a handler can return.

use std::borrow::Cow;

use serde::Serialize;

use crate::error::JobError;
use crate::extract::Text;

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

    /// Adds a tag to the result event. It stays in clear, and cannot be one of NIP-90's own (`request`, `e`, `p`, `i`,
    /// `amount`, `encrypted`, `status`): such a tag is left out.
    #[must_use]
    pub fn tag<T: Into<String>>(mut self, tag: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tag.into_iter().map(Into::into).collect());
        self
    }
}

/// What can be turned into a job's output.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a job",
    label = "not an output",
    note = "handlers return `JobResult` of text (`String`, `&str`), of `Json<T>` for a serialisable `T`, of `Output`, or of `()`"
)]
pub trait IntoOutput {
    /// The MIME type of the content.
    const MIME: &'static str;

    /// Converts it.
    ///
    /// # Errors
    /// When it cannot be written as content.
    fn into_output(self) -> Result<Output, JobError>;
}

macro_rules! text_outputs {
    ($($type:ty),*) => {
        $(impl IntoOutput for $type {
            const MIME: &'static str = "text/plain";

            fn into_output(self) -> Result<Output, JobError> {
                Ok(Output::new(self))
            }
        })*
    };
}

text_outputs!(String, &'static str, Cow<'static, str>);

impl IntoOutput for Text {
    const MIME: &'static str = "text/plain";

    fn into_output(self) -> Result<Output, JobError> {
        Ok(Output::new(self.into_string()))
    }
}

impl IntoOutput for () {
    const MIME: &'static str = "text/plain";

    fn into_output(self) -> Result<Output, JobError> {
        Ok(Output::default())
    }
}

impl IntoOutput for Output {
    const MIME: &'static str = "text/plain";

    fn into_output(self) -> Result<Output, JobError> {
        Ok(self)
    }
}

/// A value written as JSON.
///
/// A crate that depends on this one alone tells serde's derive where to find serde:
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// #[derive(Serialize)]
/// #[serde(crate = "openagents_sdk::serde")]
/// struct Answer {
///     words: usize,
/// }
///
/// async fn count(text: Text) -> JobResult<Json<Answer>> {
///     Ok(Json(Answer { words: text.split_whitespace().count() }))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoOutput for Json<T> {
    const MIME: &'static str = "application/json";

    fn into_output(self) -> Result<Output, JobError> {
        let content = serde_json::to_string(&self.0).map_err(|error| {
            JobError::failed("the agent's answer could not be written as JSON").caused_by(error)
        })?;
        Ok(Output::new(content))
    }
}

/// What a job handler returns: a `Result` of an output.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot return `{Self}`",
    label = "not a `JobResult` of an output",
    note = "job handlers return `JobResult<T>`, where `T` is text (`String`, `&str`), `Json<T>` for a serialisable `T`, `Output`, or `()`"
)]
pub trait HandlerReturn {
    /// The MIME type of the output.
    const MIME: &'static str;

    /// Converts it.
    ///
    /// # Errors
    /// The handler's own, or that its output could not be written.
    fn into_outcome(self) -> Result<Output, JobError>;
}

impl<T: IntoOutput, E: Into<JobError>> HandlerReturn for Result<T, E> {
    const MIME: &'static str = T::MIME;

    fn into_outcome(self) -> Result<Output, JobError> {
        self.map_err(Into::into)?.into_output()
    }
}
