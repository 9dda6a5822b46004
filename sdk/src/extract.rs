//! What a handler can take as arguments.

use std::fmt;
use std::ops::Deref;

use crate::agent::MaybeSend;
use crate::context::AgentContext;
use crate::error::JobError;
use crate::job::{JobContext, JobRequest};
use crate::memory::Session;
use crate::params::{JobParams, ParamDeclaration, Params};

/// A handler's argument: something that can be made from the job at hand.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot take `{Self}`",
    label = "not something a job offers",
    note = "handlers take from the request: `Text` (the text input), `Option<Text>`, `Inputs` (all inputs), `Params` (the parameters), `Params<T>` for a `T` with `#[derive(JobParams)]`, `JobRequest`",
    note = "and from around it: `JobContext`, `AgentContext`, `Session` (the conversation with the customer)"
)]
pub trait FromJob: Sized {
    /// What the argument tells the manifest about the job's inputs.
    const INPUT: Option<InputDeclaration> = None;

    /// Which parameters the argument reads, for the manifest.
    const PARAMS: &'static [ParamDeclaration] = &[];

    /// Takes the argument from the job. Implementations write `async fn from_job(…)`.
    ///
    /// # Errors
    /// When the request lacks it or it is malformed: a final error that tells the customer what to send.
    fn from_job(context: &JobContext) -> impl Future<Output = Result<Self, JobError>> + MaybeSend;
}

/// What an argument expects from a request, for the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputDeclaration {
    /// The type of the `i` tag (NIP-90): `text`, `url`, `event` or `job`.
    pub input_type: &'static str,
    /// Which MIME types it may hold.
    pub mime_types: &'static [&'static str],
    /// Whether the job fails without it.
    pub required: bool,
}

/// The request's text: its first text input, or its content when it has none.
///
/// It derefs to `str` and displays as what the customer wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(String);

impl Text {
    /// The text itself.
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

const TEXT: InputDeclaration =
    InputDeclaration { input_type: "text", mime_types: &["text/plain"], required: true };

fn text_of(request: &JobRequest) -> Option<Text> {
    request.text().map(|text| Text(text.to_owned()))
}

impl FromJob for Text {
    const INPUT: Option<InputDeclaration> = Some(TEXT);

    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        text_of(context.request()).ok_or_else(|| {
            JobError::failed("this job needs a text input: add a tag [\"i\", \"<your text>\", \"text\"]")
        })
    }
}

impl FromJob for Option<Text> {
    const INPUT: Option<InputDeclaration> = Some(InputDeclaration { required: false, ..TEXT });

    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(text_of(context.request()))
    }
}

/// All inputs of the request, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs(pub Vec<crate::nip90::Input>);

impl FromJob for Inputs {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(Self(context.request().inputs.clone()))
    }
}

impl<P: JobParams> FromJob for Params<P> {
    const PARAMS: &'static [ParamDeclaration] = P::DECLARATIONS;

    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        P::from_params(&context.request().params).map(Self)
    }
}

impl FromJob for JobContext {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(context.clone())
    }
}

impl FromJob for JobRequest {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(context.request().clone())
    }
}

impl FromJob for AgentContext {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(context.around().clone())
    }
}

impl FromJob for Session {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(context.session())
    }
}
