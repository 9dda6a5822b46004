//! What an agent is and can do, as OpenAgents' `AgentManifest` (schema version 1.0): generated from its code.
//!
//! Only what the declarations say goes in, so it cannot hold a secret.

use openagents_host::PublicKey;
use openagents_host::keys::npub;
use serde::Serialize;

use crate::agent::{AgentDeclaration, Jobs};
use crate::extract::InputDeclaration;
use crate::handler::JobDeclaration;

/// An agent's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgentManifest {
    /// The version of this form: `1.0`.
    pub schema_version: &'static str,
    /// The agent's public key in hex.
    pub id: PublicKey,
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Who is behind it.
    pub author: Author,
    /// Its licence, as an SPDX expression.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub license: &'static str,
    /// Its home page.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub homepage: &'static str,
    /// Where its source is.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub repository: &'static str,
    /// What it can do.
    pub capabilities: Capabilities,
    /// What it needs to run.
    pub requirements: Requirements,
    /// Words to find it by.
    pub tags: Vec<&'static str>,
}

/// Who is behind an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Author {
    /// The authors named in the crate.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The agent's own public name.
    pub npub: String,
}

/// What an agent can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// The kinds of job requests it answers (NIP-90).
    pub job_kinds: Vec<u16>,
    /// What it takes.
    pub inputs: Vec<InputCapability>,
    /// What it gives.
    pub outputs: Vec<OutputCapability>,
    /// Its handlers.
    pub skills: Vec<Skill>,
}

/// An input that an agent takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InputCapability {
    /// The type of the `i` tag.
    pub input_type: &'static str,
    /// Which MIME types it may hold.
    pub mime_types: &'static [&'static str],
}

/// An output that an agent gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OutputCapability {
    /// Its MIME type.
    pub mime_type: &'static str,
    /// Whether it comes in parts.
    pub streaming: bool,
}

/// A handler of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skill {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// The kind of job request it answers.
    pub job_kind: u16,
}

/// What an agent needs to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Requirements {
    /// Where it runs. `Hybrid`: on one's own machine as well as in the cloud.
    pub environment: &'static str,
}

impl AgentManifest {
    /// The manifest of an agent that signs with this key.
    #[must_use]
    pub fn of<A: Jobs>(key: &PublicKey) -> Self {
        let jobs: Vec<JobDeclaration> = A::HANDLERS.iter().map(|handler| handler.declaration).collect();
        Self::new(&A::DECLARATION, &jobs, key)
    }

    /// The manifest as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts, numbers and lists always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn new(agent: &AgentDeclaration, jobs: &[JobDeclaration], key: &PublicKey) -> Self {
        let mut inputs: Vec<InputDeclaration> = Vec::new();
        let mut outputs: Vec<&'static str> = Vec::new();
        for job in jobs {
            let new =
                job.inputs.iter().flatten().filter(|input| !inputs.iter().any(|known| same(known, input)));
            let new: Vec<_> = new.copied().collect();
            inputs.extend(new);
            if !outputs.contains(&job.output) {
                outputs.push(job.output);
            }
        }
        Self {
            schema_version: "1.0",
            id: *key,
            name: agent.name,
            version: agent.version,
            description: agent.about,
            author: Author { name: agent.authors.replace(':', ", "), npub: npub(key) },
            license: agent.license,
            homepage: agent.homepage,
            repository: agent.repository,
            capabilities: Capabilities {
                job_kinds: jobs.iter().map(|job| job.kind).collect(),
                inputs: inputs
                    .iter()
                    .map(|input| InputCapability {
                        input_type: input.input_type,
                        mime_types: input.mime_types,
                    })
                    .collect(),
                outputs: outputs
                    .into_iter()
                    .map(|mime_type| OutputCapability { mime_type, streaming: false })
                    .collect(),
                skills: jobs
                    .iter()
                    .map(|job| Skill { name: job.name, description: job.about, job_kind: job.kind })
                    .collect(),
            },
            requirements: Requirements { environment: "Hybrid" },
            tags: vec!["nip90"],
        }
    }
}

fn same(known: &InputDeclaration, input: &InputDeclaration) -> bool {
    (known.input_type, known.mime_types) == (input.input_type, input.mime_types)
}
