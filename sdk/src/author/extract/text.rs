//! `Text`: a `text` input, or the output of another job.

use std::fmt;
use std::ops::Deref;

use super::FromInput;
use crate::author::job::JobContext;
use crate::author::output::IntoOutput;
use crate::declaration::InputDeclaration;
use crate::engine::Output;
use crate::error::JobError;
use crate::nip90::{InputKind, JobInput};

/// A text to work on: a `text` input, or the output of the job that a `job` input names. If a request has neither, it
/// is the request's content, where older clients put the prompt.
///
/// It derefs to `str` and displays as the text itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(String);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as a `String`.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl IntoOutput for Text {
    const MIME: &'static str = "text/plain";

    fn into_output(self) -> Result<Output, JobError> {
        Ok(Output::new(self.into_string()))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromInput for Text {
    const INPUT: InputDeclaration = InputDeclaration {
        input_type: "text",
        mime_types: &["text/plain"],
        required: true,
        is_uploadable: false,
    };

    const KINDS: &'static [InputKind] = &[InputKind::Text, InputKind::Job];

    async fn from_inputs(context: &JobContext, inputs: &[&JobInput]) -> Result<Vec<Self>, JobError> {
        let texts = inputs.iter().map(|input| match of_input(context, input) {
            Some(text) => Ok(Self(text.to_owned())),
            None => Err(JobError::failed(format!("the job `{}` has no output", input.data))),
        });
        texts.collect()
    }

    fn without_input(context: &JobContext) -> Result<Option<Self>, JobError> {
        Ok(context.request().text().map(|text| Self(text.to_owned())))
    }
}

/// The text of a `text` input, or the output of the job that a `job` input names.
pub(super) fn of_input<'a>(context: &'a JobContext, input: &'a JobInput) -> Option<&'a str> {
    match input.kind {
        InputKind::Text => Some(&input.data),
        InputKind::Job => context.output_of(&input.data),
        InputKind::Url | InputKind::Event => None,
    }
}
