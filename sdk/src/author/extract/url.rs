//! `Url`: a `url` input.

use openagents_host::net::{Url, public_url};

use super::FromInput;
use crate::author::job::JobContext;
use crate::declaration::InputDeclaration;
use crate::error::JobError;
use crate::nip90::{InputKind, JobInput};

/// A `url` input whose address the agent may connect to: HTTPS, and not in a private network. It is not fetched.
impl FromInput for Url {
    const INPUT: InputDeclaration =
        InputDeclaration { input_type: "url", mime_types: &["*/*"], required: true, is_uploadable: false };

    const KINDS: &'static [InputKind] = &[InputKind::Url];

    async fn from_inputs(context: &JobContext, inputs: &[&JobInput]) -> Result<Vec<Self>, JobError> {
        let reach = context.host().reach();
        let urls = inputs.iter().map(|input| {
            public_url(&input.data, &["https", "http"], reach)
                .map_err(|error| JobError::failed(format!("the input URL cannot be used: {error}")))
        });
        urls.collect()
    }
}
