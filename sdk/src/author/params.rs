//! Job parameters: `Params` and the trait behind `#[derive(JobParams)]`.

pub(crate) mod read;
mod schema;
mod value;

use std::ops::Deref;

use crate::declaration::ParamDeclaration;
use crate::error::JobError;
use crate::nip90::ParamMap;

pub use schema::{nip90_params, params_schema};
pub(crate) use value::ParamNumber;
pub use value::ParamValue;

/// The request's parameters, as a handler takes them: `Params` as they came, `Params<T>` as a struct with
/// `#[derive(JobParams)]`.
///
/// ```
/// # fn handler(params: openagents_sdk::Params) -> openagents_sdk::JobResult<()> {
/// let max_tokens: u32 = params.parse("max_tokens")?.unwrap_or(512);
/// let languages: Vec<&str> = params.all("language").collect();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<P = ParamMap>(pub P);

impl<P> Deref for Params<P> {
    type Target = P;

    fn deref(&self) -> &P {
        &self.0
    }
}

/// A struct that is read from a request's parameters. Written by [`#[derive(JobParams)]`](derive@crate::JobParams).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a job's parameters",
    label = "not parameters",
    note = "write `#[derive(JobParams)]` above the struct `{Self}`: each field is a parameter"
)]
pub trait JobParams: Sized {
    /// What the parameters are.
    const DECLARATIONS: &'static [ParamDeclaration];

    /// Reads them.
    ///
    /// # Errors
    /// When one is missing or not what it must be: a final error that tells the customer which, and what is accepted.
    fn from_params(params: &ParamMap) -> Result<Self, JobError>;
}

impl JobParams for ParamMap {
    const DECLARATIONS: &'static [ParamDeclaration] = &[];

    fn from_params(params: &ParamMap) -> Result<Self, JobError> {
        Ok(params.clone())
    }
}

impl ParamDeclaration {
    /// A parameter that is one value of type `T` and must be given.
    #[must_use]
    pub const fn new<T: ParamValue>(name: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            about: T::ABOUT,
            value_type: T::TYPE,
            required: true,
            several: false,
            default: None,
            choices: T::CHOICES,
            minimum: T::MINIMUM,
            maximum: T::MAXIMUM,
        }
    }
}
