//! What a handler can return.

mod tags;

use std::borrow::Cow;

use serde::Serialize;

use crate::error::JobError;
use crate::extract::Text;

pub use tags::Tags;

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

/// What can be turned into a job's output.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a job",
    label = "not an output",
    note = "handlers return `JobResult` of text (`String`, `&str`), `Markdown`, `Json<T>` for a serialisable `T`, `Tags` (a list of events or people), `Output`, or `()`"
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

/// A text in Markdown.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// async fn outline(text: Text) -> JobResult<Markdown> {
///     Ok(Markdown(text.lines().map(|line| format!("- {line}\n")).collect()))
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markdown(pub String);

impl IntoOutput for Markdown {
    const MIME: &'static str = "text/markdown";

    fn into_output(self) -> Result<Output, JobError> {
        Ok(Output::new(self.0))
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
        Output::json(&self.0)
    }
}

/// What a job handler returns: a `Result` of an output.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot return `{Self}`",
    label = "not a `JobResult` of an output",
    note = "job handlers return `JobResult<T>`, where `T` is text (`String`, `&str`), `Markdown`, `Json<T>` for a serialisable `T`, `Tags` (a list of events or people), `Output`, or `()`"
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{HandlerReturn, IntoOutput, Json, Markdown, Output};
    use crate::error::JobError;

    #[test]
    fn tells_the_type_of_what_is_returned() {
        fn mime<T: HandlerReturn>(_: &T) -> &'static str {
            T::MIME
        }
        let outcome: Result<Markdown, JobError> = Ok(Markdown("# Title".to_owned()));
        assert_eq!(mime(&outcome), "text/markdown");
        assert_eq!(outcome.into_outcome().unwrap(), Output::new("# Title"));
    }

    #[test]
    fn names_a_type_that_is_known_only_when_it_runs() {
        assert_eq!(Output::new("x").mime("text/vtt").tags, [["m", "text/vtt"]]);
    }

    #[test]
    fn says_when_a_value_is_no_json_without_its_details() {
        let no_json = BTreeMap::from([([1_u8].to_vec(), 1)]);
        let error = Json(no_json).into_output().unwrap_err();
        assert!(!error.is_retryable());
        assert_eq!(error.message(), "the agent's answer could not be written as JSON");
        assert_eq!(Output::json(&[1, 2]).unwrap().content, "[1,2]");
    }
}
