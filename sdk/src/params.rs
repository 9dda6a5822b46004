//! The parameters of a job: any number of values under each key, or a struct of one's own.

pub(crate) mod read;
mod schema;
mod value;

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::error::JobError;

pub use schema::{nip90_params, params_schema};
pub(crate) use value::ParamNumber;
pub use value::ParamValue;

/// A request's parameters (`param` tags) as they came: any number of values under each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamMap(pub(crate) Vec<(String, Vec<String>)>);

impl ParamMap {
    /// The first value of a key.
    #[must_use]
    pub fn first(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .filter(|(name, _)| name == key)
            .find_map(|(_, values)| values.first())
            .map(String::as_str)
    }

    /// All values of a key, over all its tags, in their order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).flat_map(|(_, values)| values).map(String::as_str)
    }

    /// The first value of a key, read as a `T`; nothing when the key is not there.
    ///
    /// # Errors
    /// When the value does not parse: a final error that names the key and the value to the customer.
    pub fn parse<T: FromStr>(&self, key: &str) -> Result<Option<T>, JobError>
    where
        T::Err: fmt::Display,
    {
        self.first(key)
            .map(|value| {
                value.parse().map_err(|error| {
                    JobError::failed(format!("the parameter `{key}` cannot be `{value}`: {error}"))
                })
            })
            .transpose()
    }
}

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

/// What a parameter is, for the manifest and the agent's announcements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamDeclaration {
    /// Its key.
    pub name: &'static str,
    /// Other keys it is accepted under.
    pub aliases: &'static [&'static str],
    /// What it does.
    pub about: &'static str,
    /// Its type in JSON schema's words: `string`, `integer`, `number` or `boolean`.
    pub value_type: &'static str,
    /// Whether the job fails without it.
    pub required: bool,
    /// Whether it may have several values.
    pub several: bool,
    /// What it is when it is not given.
    pub default: Option<&'static str>,
    /// The values it may have; any when empty.
    pub choices: &'static [&'static str],
    /// The least it may be.
    pub minimum: Option<f64>,
    /// The most it may be.
    pub maximum: Option<f64>,
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
