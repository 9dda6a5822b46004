//! `Params`: the parameters of a request, and the trait behind `#[derive(JobParams)]`.

pub(crate) mod read;
mod schema;
mod value;

use std::ops::Deref;

use crate::declaration::ParamDeclaration;
use crate::error::JobError;
use crate::nip90::ParamMap;

pub use schema::{nip90_params, params_schema};
pub use value::{ParamNumber, ParamValue};

/// The parameters of a request: `Params` as they were sent, `Params<T>` as a struct with `#[derive(JobParams)]`.
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

/// A struct that is read from a request's parameters. [`#[derive(JobParams)]`](derive@crate::JobParams) implements
/// this trait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a job's parameters",
    label = "not parameters",
    note = "write `#[derive(JobParams)]` above the struct `{Self}`: each field is a parameter"
)]
pub trait JobParams: Sized {
    /// Name, type, default and description of each parameter.
    const DECLARATIONS: &'static [ParamDeclaration];

    /// Reads the struct.
    ///
    /// # Errors
    /// When a parameter is missing or invalid: a final error that tells the customer which one, and what is accepted.
    fn from_params(params: &ParamMap) -> Result<Self, JobError>;
}

impl JobParams for ParamMap {
    const DECLARATIONS: &'static [ParamDeclaration] = &[];

    fn from_params(params: &ParamMap) -> Result<Self, JobError> {
        Ok(params.clone())
    }
}

impl ParamDeclaration {
    /// A required parameter with one value of type `T`.
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
