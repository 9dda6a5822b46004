//! The return types of job handlers.

mod tags;

use std::borrow::Cow;

use openagents_blossom::BlobDescriptor;
use serde::Serialize;

use super::return_types::HandlerError;
use crate::engine::Output;
use crate::error::JobError;

pub use tags::Tags;

/// A type that can be a job's output.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a job",
    label = "not an output",
    note = "handlers return `JobResult` of text (`String`, `&str`), `Markdown`, `Json<T>` for a serialisable `T`, `Tags` (a list of events or people), `BlobDescriptor` (a stored file), `Output`, or `()`"
)]
pub trait IntoOutput {
    /// The MIME type of the content.
    const MIME: &'static str;

    /// Makes the output.
    ///
    /// # Errors
    /// When the value cannot be written as content.
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

/// A blob that the agent has [stored](crate::AgentContext::blobs): its URL is the content, and its type, hash and size are
/// tags with NIP-94's names.
///
/// ```
/// use openagents_sdk::{BlobDescriptor, prelude::*};
///
/// async fn notes(text: Text, context: JobContext) -> JobResult<BlobDescriptor> {
///     context.blobs().store(text.to_string(), "text/markdown").await
/// }
/// ```
impl IntoOutput for BlobDescriptor {
    const MIME: &'static str = "text/plain";

    fn into_output(self) -> Result<Output, JobError> {
        let output = Output::new(self.url).mime(&self.media_type.essence());
        Ok(output.tag(["x", &self.sha256.to_hex()]).tag(["size", &self.size.to_string()]))
    }
}

/// Markdown text.
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

/// A value written as JSON; as an argument, a text input read as JSON.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// #[derive(Deserialize)]
/// struct Question {
///     text: String,
/// }
///
/// #[derive(Serialize)]
/// struct Answer {
///     words: usize,
/// }
///
/// async fn count(Json(question): Json<Question>) -> JobResult<Json<Answer>> {
///     Ok(Json(Answer { words: question.text.split_whitespace().count() }))
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

/// The return type of a job handler: a `Result` of an output.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot return `{Self}`",
    label = "not a `JobResult` of an output",
    note = "job handlers return `JobResult<T>`, where `T` is text (`String`, `&str`), `Markdown`, `Json<T>` for a serialisable `T`, `Tags` (a list of events or people), `BlobDescriptor` (a stored file), `Output`, or `()`"
)]
pub trait HandlerReturn {
    /// The MIME type of the output.
    const MIME: &'static str;

    /// Makes the output, or returns the handler's error.
    ///
    /// # Errors
    /// The handler's error, or that its output could not be written.
    fn into_outcome(self) -> Result<Output, JobError>;
}

impl<T: IntoOutput, E: HandlerError> HandlerReturn for Result<T, E> {
    const MIME: &'static str = T::MIME;

    fn into_outcome(self) -> Result<Output, JobError> {
        self.map_err(HandlerError::into_job_error)?.into_output()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{HandlerReturn, IntoOutput, Json, Markdown};
    use crate::engine::Output;
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
        assert_eq!(error.message(), "the agent's output could not be written as JSON");
        assert_eq!(Output::json(&[1, 2]).unwrap().content, "[1,2]");
    }
}
