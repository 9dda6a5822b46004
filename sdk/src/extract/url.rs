//! Addresses that a customer names.

use openagents_host::outgoing::{Url, public_url};

use super::{FromInput, InputDeclaration};
use crate::error::JobError;
use crate::job::JobContext;
use crate::nip90::{Input, InputKind};

/// A `url` input, checked to be one that the agent may reach: of the web, encrypted, and not of a private network. It is not
/// fetched.
impl FromInput for Url {
    const INPUT: InputDeclaration =
        InputDeclaration { input_type: "url", mime_types: &["*/*"], required: true };

    const KINDS: &'static [InputKind] = &[InputKind::Url];

    async fn from_inputs(context: &JobContext, inputs: &[&Input]) -> Result<Vec<Self>, JobError> {
        let reach = context.surroundings().reach();
        let urls = inputs.iter().map(|input| {
            public_url(&input.data, &["https", "http"], reach).map_err(|error| {
                JobError::failed(format!("the address given as input cannot be used: {error}"))
            })
        });
        urls.collect()
    }
}
