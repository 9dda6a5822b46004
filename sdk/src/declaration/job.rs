//! What a job handler declares: its kind, limits, price, inputs and parameters.

use std::time::Duration;

use crate::price::Price;

/// What a handler says about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JobDeclaration {
    /// The kind of request it answers: 5000 to 5999 (NIP-90).
    pub kind: u16,
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// How long it may run.
    pub timeout: Duration,
    /// How often it is tried when it fails retryably or is interrupted.
    pub attempts: u32,
    /// What every job costs; `#[price]` may find another price for a request.
    pub price: Price,
    /// What its arguments take from the request.
    pub inputs: &'static [Option<InputDeclaration>],
    /// Which parameters its arguments read.
    pub params: &'static [&'static [ParamDeclaration]],
    /// The MIME type of what it returns.
    pub output: &'static str,
}

impl JobDeclaration {
    /// A free handler that takes nothing and returns text, with the default limits.
    #[must_use]
    pub const fn new(kind: u16, name: &'static str) -> Self {
        Self {
            kind,
            name,
            about: "",
            timeout: Duration::from_secs(60),
            attempts: 3,
            price: Price::FREE,
            inputs: &[],
            params: &[],
            output: "text/plain",
        }
    }
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
