//! Extractors: the arguments that a job handler can take from its request.

mod blob;
mod document;
mod event;
mod fetch_error;
mod inputs;
mod json;
mod text;
mod url;

use std::fmt;
use std::ops::Deref;

use openagents_host::PublicKey;

use super::context::AgentContext;
use super::job::JobContext;
use super::memory::Session;
use super::params::{JobParams, Params};
use crate::declaration::{InputDeclaration, ParamDeclaration};
use crate::error::JobError;
use crate::nip90::{InputKind, JobInput, JobRequest};
use crate::send::MaybeSend;

pub use blob::Blob;
pub use document::Document;
pub use event::NostrEvent;
pub use inputs::Inputs;
pub(crate) use json::read_json;
pub use text::Text;

/// An argument that a job handler can take, made from the job.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot take `{Self}`",
    label = "not an argument of a job handler",
    note = "if `{Self}` has `#[derive(JobParams)]`, take it as `Params<{Self}>`",
    note = "handlers take inputs of the request: `Text` (a text, or the output of another job), `Json<T>` (such a text as JSON), `Url` (a URL), `Document` (the text at a URL), `Blob` (the bytes of a file, uploaded or at a URL), `NostrEvent` (an event); an `Option` of these if the input may be missing, a `Vec` of these for all such inputs",
    note = "or `Inputs` (all inputs), `Params` (the parameters), `Customer`, `JobRequest`",
    note = "or the context of the run: `JobContext`, `AgentContext`, `Session` (the conversation with the customer)"
)]
pub trait FromJob: Sized {
    /// How the manifest describes the input that this argument needs, if it needs one.
    const INPUT: Option<InputDeclaration> = None;

    /// The parameters that this argument reads, for the manifest.
    const PARAMS: &'static [ParamDeclaration] = &[];

    /// Makes the argument. Implementations write `async fn from_job(…)`.
    ///
    /// # Errors
    /// When the request lacks what the argument needs, or it is malformed: a final error that tells the customer what
    /// to send.
    fn from_job(context: &JobContext) -> impl Future<Output = Result<Self, JobError>> + MaybeSend;
}

/// A type that can be made from one input (an `i` tag). A handler that takes `Option<Self>` gets the first such
/// input, if any; one that takes `Vec<Self>` gets all of them, in order.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot take an `Option` or `Vec` of `{Self}`",
    label = "not made from an input",
    note = "handlers take `Option` and `Vec` of types made from an input: `Text` (a text, or the output of another job), `Json<T>` (such a text as JSON), `Url` (a URL), `Document` (the text at a URL), `Blob` (the bytes of a file, uploaded or at a URL), `NostrEvent` (an event)"
)]
pub trait FromInput: Sized {
    /// How the manifest describes the input.
    const INPUT: InputDeclaration;

    /// The types of `i` tags that it can be made from.
    const KINDS: &'static [InputKind];

    /// Makes one value for each input. All inputs are of one of the [`KINDS`](Self::KINDS).
    ///
    /// # Errors
    /// When an input cannot be used: a final error that tells the customer why.
    fn from_inputs(
        context: &JobContext,
        inputs: &[&JobInput],
    ) -> impl Future<Output = Result<Vec<Self>, JobError>> + MaybeSend;

    /// The value for a request without such an input. `None` makes the job fail.
    ///
    /// # Errors
    /// When what stands for the input cannot be used: a final error that tells the customer why.
    fn without_input(_context: &JobContext) -> Result<Option<Self>, JobError> {
        Ok(None)
    }
}

impl<T: FromInput> FromJob for Option<T> {
    const INPUT: Option<InputDeclaration> = Some(InputDeclaration { required: false, ..T::INPUT });

    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        let input = context.request().inputs.iter().find(|input| T::KINDS.contains(&input.kind));
        match input {
            Some(input) => Ok(T::from_inputs(context, &[input]).await?.into_iter().next()),
            None => T::without_input(context),
        }
    }
}

impl<T: FromInput> FromJob for Vec<T> {
    const INPUT: Option<InputDeclaration> = Some(InputDeclaration { required: false, ..T::INPUT });

    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        let inputs: Vec<&JobInput> =
            context.request().inputs.iter().filter(|input| T::KINDS.contains(&input.kind)).collect();
        if inputs.is_empty() {
            return Ok(T::without_input(context)?.into_iter().collect());
        }
        T::from_inputs(context, &inputs).await
    }
}

/// Makes an argument from the first such input. The job fails if the request has none; `example` shows what to send.
async fn required<T: FromInput>(context: &JobContext, example: &str) -> Result<T, JobError> {
    Option::<T>::from_job(context).await?.ok_or_else(|| {
        let kind = T::INPUT.input_type;
        JobError::failed(format!(
            "this job needs an input of type {kind}: add a tag [\"i\", \"{example}\", \"{kind}\"]"
        ))
    })
}

/// Implements `FromJob` for a type made from an input.
macro_rules! required {
    ($($type:ty: $example:literal),* $(,)?) => {
        $(impl FromJob for $type {
            const INPUT: Option<InputDeclaration> = Some(<Self as FromInput>::INPUT);

            async fn from_job(context: &JobContext) -> Result<Self, JobError> {
                required(context, $example).await
            }
        })*
    };
}

required! {
    Text: "<your text>",
    openagents_host::net::Url: "https://…",
    Document: "https://…",
    Blob: "https://…",
    NostrEvent: "<event id>",
}

/// The customer: the author of the job request. It derefs to the public key and displays as hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Customer(pub PublicKey);

impl Deref for Customer {
    type Target = PublicKey;

    fn deref(&self) -> &PublicKey {
        &self.0
    }
}

impl fmt::Display for Customer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromJob for Customer {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(Self(context.request().customer()))
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
        Ok(context.agent_context().clone())
    }
}

impl FromJob for Session {
    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        Ok(context.session())
    }
}

#[cfg(test)]
mod tests;
