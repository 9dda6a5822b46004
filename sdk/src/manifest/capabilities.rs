//! The manifest's `capabilities`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::economics::Pricing;
use super::offer::Offer;
use super::schema::params_schema;
use crate::declaration::{AgentDeclaration, InputDeclaration, RouteDeclaration};

/// What an agent can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// The agent's job handlers.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// The kinds of job requests that the agent handles (NIP-90).
    #[serde(default)]
    pub job_kinds: Vec<u16>,
    /// The inputs that it accepts.
    #[serde(default)]
    pub inputs: Vec<InputCapability>,
    /// The outputs that it produces.
    #[serde(default)]
    pub outputs: Vec<OutputCapability>,
    /// The names of its job handlers.
    #[serde(default)]
    pub skills: Vec<String>,
    /// How many jobs it runs at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent_jobs: Option<u32>,
    /// The HTTP routes of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteCapability>,
}

/// A job handler of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tool {
    /// The handler's name.
    pub name: String,
    /// What the handler does.
    #[serde(default)]
    pub description: String,
    /// The JSON schema of its parameters (`param` tags).
    #[serde(default)]
    pub input_schema: Value,
    /// The kind of job requests that it handles (NIP-90).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_kind: Option<u16>,
    /// Whether a `url` input may be a file that the customer uploads to the agent's blob server (Blossom).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takes_uploads: bool,
    /// The MIME type of its output.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// The price of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pricing: Option<Pricing>,
}

/// An HTTP route of an agent's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouteCapability {
    /// The method of its requests: `GET` (and `HEAD`), `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Its path below `/agent/<npub>`, and at the root of the deployment.
    pub path: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// An input that an agent accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InputCapability {
    /// The type of the `i` tag (NIP-90): `text`, `url`, `event` or `job`.
    pub input_type: String,
    /// The accepted MIME types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mime_types: Vec<String>,
    /// The largest accepted size, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
}

/// An output that an agent produces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputCapability {
    /// The MIME type.
    pub mime_type: String,
    /// Whether partial output is sent before the result.
    #[serde(default)]
    pub streaming: bool,
}

impl Capabilities {
    /// The kinds of jobs that take files, which their customers upload to the agent's blob server.
    #[must_use]
    pub fn file_job_kinds(&self) -> Vec<u16> {
        self.tools.iter().filter(|tool| tool.takes_uploads).filter_map(|tool| tool.job_kind).collect()
    }

    pub(super) fn of(agent: &AgentDeclaration, offers: &[Offer]) -> Self {
        let mut inputs: Vec<InputCapability> = Vec::new();
        let mut outputs: Vec<OutputCapability> = Vec::new();
        for Offer { job, .. } in offers {
            for input in job.inputs.iter().flatten().map(InputCapability::from) {
                if !inputs.contains(&input) {
                    inputs.push(input);
                }
            }
            let output = OutputCapability { mime_type: job.output.to_owned(), streaming: false };
            if !outputs.contains(&output) {
                outputs.push(output);
            }
        }
        Self {
            tools: offers.iter().map(Tool::from).collect(),
            job_kinds: offers.iter().map(|offer| offer.job.kind).collect(),
            inputs,
            outputs,
            skills: offers.iter().map(|offer| offer.job.name.to_owned()).collect(),
            max_concurrent_jobs: Some(agent.concurrency),
            routes: Vec::new(),
        }
    }
}

impl From<&InputDeclaration> for InputCapability {
    fn from(input: &InputDeclaration) -> Self {
        let mime_types = input.mime_types.iter().map(|&mime_type| mime_type.to_owned()).collect();
        Self { input_type: input.input_type.to_owned(), mime_types, max_size: None }
    }
}

impl From<&RouteDeclaration> for RouteCapability {
    fn from(route: &RouteDeclaration) -> Self {
        Self {
            method: route.method.to_string(),
            path: route.path.to_owned(),
            description: route.about.to_owned(),
        }
    }
}

impl From<&Offer> for Tool {
    fn from(offer: &Offer) -> Self {
        Self {
            name: offer.job.name.to_owned(),
            description: offer.job.about.to_owned(),
            input_schema: params_schema(offer.job.params.iter().copied().flatten()),
            job_kind: Some(offer.job.kind),
            takes_uploads: offer.job.takes_uploads(),
            output: offer.job.output.to_owned(),
            pricing: Some(Pricing::from(offer.cost())),
        }
    }
}
