//! Extractors: the arguments that a job handler can take from its request.

mod document;
mod event;
mod inputs;
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

pub use document::Document;
pub use event::NostrEvent;
pub use inputs::Inputs;
pub use text::Text;

/// A handler's argument: something that can be made from the job at hand.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot take `{Self}`",
    label = "not something a job offers",
    note = "handlers take an input of the request: `Text` (a text, or the output of another job), `Url` (an address), `Document` (the text at an address), `NostrEvent` (an event); `Option` of these where it may be missing, `Vec` of these for all there are",
    note = "or `Inputs` (all inputs), `Params` (the parameters), `Params<T>` for a `T` with `#[derive(JobParams)]`, `Customer`, `JobRequest`",
    note = "or what is around it: `JobContext`, `AgentContext`, `Session` (the conversation with the customer)"
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

/// What can be made of one input (an `i` tag). A handler takes `Option<Self>` for the first such input, if there is one, and
/// `Vec<Self>` for all there are, in the order of the inputs.
#[diagnostic::on_unimplemented(
    message = "a job handler cannot take an `Option` or `Vec` of `{Self}`",
    label = "not made of an input",
    note = "handlers take `Option` and `Vec` of what is made of an input: `Text` (a text, or the output of another job), `Url` (an address), `Document` (the text at an address), `NostrEvent` (an event)"
)]
pub trait FromInput: Sized {
    /// What it tells the manifest about the job's inputs.
    const INPUT: InputDeclaration;

    /// The kinds of inputs that it is made of.
    const KINDS: &'static [InputKind];

    /// Makes one of each of these inputs, all of [`KINDS`](Self::KINDS).
    ///
    /// # Errors
    /// When one cannot be used: a final error that tells the customer why.
    fn from_inputs(
        context: &JobContext,
        inputs: &[&JobInput],
    ) -> impl Future<Output = Result<Vec<Self>, JobError>> + MaybeSend;

    /// What takes its place in a request without such an input.
    #[must_use]
    fn without_input(_context: &JobContext) -> Option<Self> {
        None
    }
}

impl<T: FromInput> FromJob for Option<T> {
    const INPUT: Option<InputDeclaration> = Some(InputDeclaration { required: false, ..T::INPUT });

    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        let input = context.request().inputs.iter().find(|input| T::KINDS.contains(&input.kind));
        match input {
            Some(input) => Ok(T::from_inputs(context, &[input]).await?.into_iter().next()),
            None => Ok(T::without_input(context)),
        }
    }
}

impl<T: FromInput> FromJob for Vec<T> {
    const INPUT: Option<InputDeclaration> = Some(InputDeclaration { required: false, ..T::INPUT });

    async fn from_job(context: &JobContext) -> Result<Self, JobError> {
        let inputs: Vec<&JobInput> =
            context.request().inputs.iter().filter(|input| T::KINDS.contains(&input.kind)).collect();
        if inputs.is_empty() {
            return Ok(T::without_input(context).into_iter().collect());
        }
        T::from_inputs(context, &inputs).await
    }
}

/// Makes what is made of an input an argument that the job fails without.
macro_rules! required {
    ($($type:ty: $example:literal),* $(,)?) => {
        $(impl FromJob for $type {
            const INPUT: Option<InputDeclaration> = Some(<Self as FromInput>::INPUT);

            async fn from_job(context: &JobContext) -> Result<Self, JobError> {
                Option::<Self>::from_job(context).await?.ok_or_else(|| {
                    let kind = <Self as FromInput>::INPUT.input_type;
                    JobError::failed(format!(
                        "this job needs an input of type {kind}: add a tag [\"i\", \"{}\", \"{kind}\"]",
                        $example
                    ))
                })
            }
        })*
    };
}

required! {
    Text: "<your text>",
    openagents_host::net::Url: "https://…",
    Document: "https://…",
    NostrEvent: "<event id>",
}

/// Who asks. It derefs to the public key and displays as its hex.
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
