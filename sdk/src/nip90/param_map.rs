//! `ParamMap`: the `param` tags of a job request.

use std::fmt;
use std::str::FromStr;

use crate::error::JobError;

/// The parameters of a request (`param` tags) as they were sent: any number of values under each key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamMap(pub(crate) Vec<(String, Vec<String>)>);

impl ParamMap {
    /// The first value of this key.
    #[must_use]
    pub fn first(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .filter(|(name, _)| name == key)
            .find_map(|(_, values)| values.first())
            .map(String::as_str)
    }

    /// All values of this key, from all its tags, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).flat_map(|(_, values)| values).map(String::as_str)
    }

    /// The first value of this key, parsed as a `T`. `None` if there is no such key.
    ///
    /// # Errors
    /// When the value cannot be parsed: a final error that tells the customer the key and the value.
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
