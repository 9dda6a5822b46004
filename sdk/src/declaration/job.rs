//! What a job handler declares: its kind, limits, price, inputs and parameters.

use std::time::Duration;

use crate::price::Price;

/// What a job handler declares, in `#[job]` and through its arguments and return type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JobDeclaration {
    /// The kind of job requests that it handles: 5000 to 5999 (NIP-90).
    pub kind: u16,
    /// The handler's display name.
    pub name: &'static str,
    /// What the handler does, from its doc comment.
    pub about: &'static str,
    /// How long one attempt may run.
    pub timeout: Duration,
    /// The most attempts, the first included; retryable errors and interruptions count.
    pub attempts: u32,
    /// How long a run goes on before the customer is told that the job is being processed. Jobs that cost something are
    /// told at once.
    pub processing_after: Duration,
    /// The price of each job, unless a `#[price]` function computes one.
    pub price: Price,
    /// When a job with a price is paid for.
    pub payment: PaymentTiming,
    /// How many jobs of a day (UTC) each customer has for free.
    pub free_per_day: u32,
    /// The inputs that its arguments need, one entry for each argument.
    pub inputs: &'static [Option<InputDeclaration>],
    /// The parameters that its arguments read, one list for each argument.
    pub params: &'static [&'static [ParamDeclaration]],
    /// The MIME type of its output.
    pub output: &'static str,
}

impl JobDeclaration {
    /// Whether one of its inputs may be a blob that the customer uploads to the agent's own blob server.
    #[must_use]
    pub fn takes_uploads(&self) -> bool {
        self.inputs.iter().flatten().any(|input| input.is_uploadable)
    }

    /// A free handler with no inputs, text output and default limits.
    #[must_use]
    pub const fn new(kind: u16, name: &'static str) -> Self {
        Self {
            kind,
            name,
            about: "",
            timeout: Duration::from_secs(60),
            attempts: 3,
            processing_after: Duration::from_millis(300),
            price: Price::FREE,
            payment: PaymentTiming::Before,
            free_per_day: 0,
            inputs: &[],
            params: &[],
            output: "text/plain",
        }
    }
}

/// When a job with a price is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PaymentTiming {
    /// Before it runs. If it fails, the payment is credited to the customer.
    #[default]
    Before,
    /// Before it runs, with a hold invoice: the payment is taken when there is a result, and returned if the job fails.
    /// The wallet must have hold invoices.
    Hold,
    /// When it is done: the customer gets the result for the payment.
    After,
}

/// The input that a handler's argument needs, for the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputDeclaration {
    /// The type of the `i` tag (NIP-90): `text`, `url`, `event` or `job`.
    pub input_type: &'static str,
    /// The MIME types that the handler accepts; `*/*` for any.
    pub mime_types: &'static [&'static str],
    /// Whether the job fails without this input.
    pub required: bool,
    /// Whether a `url` input may name a blob that the customer uploads to the agent's own blob server after the request: the
    /// job waits for it.
    pub is_uploadable: bool,
}

/// A parameter of a handler, for the manifest and the agent's announcements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParamDeclaration {
    /// The key: the second element of the `param` tag.
    pub name: &'static str,
    /// Other accepted keys.
    pub aliases: &'static [&'static str],
    /// What the parameter means, from its doc comment.
    pub about: &'static str,
    /// Its JSON schema type: `string`, `integer`, `number` or `boolean`.
    pub value_type: &'static str,
    /// Whether the job fails without this parameter.
    pub required: bool,
    /// Whether it may have several values.
    pub several: bool,
    /// The value if it is not given.
    pub default: Option<&'static str>,
    /// The accepted values; any if empty.
    pub choices: &'static [&'static str],
    /// The smallest accepted number.
    pub minimum: Option<f64>,
    /// The largest accepted number.
    pub maximum: Option<f64>,
}
