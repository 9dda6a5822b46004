//! `AgentDeclaration`: what an agent declares in `#[agent]` and its `Cargo.toml`.

use std::time::Duration;

/// What an agent declares about itself, in `#[agent]` and in its crate's `Cargo.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentDeclaration {
    /// The agent's name: lowercase letters, digits and hyphens.
    pub name: &'static str,
    /// What the agent does, in a sentence or two.
    pub about: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The crate's authors, separated by colons, as Cargo gives them.
    pub authors: &'static str,
    /// The licence as an SPDX expression, or empty.
    pub license: &'static str,
    /// URL of the home page, or empty.
    pub homepage: &'static str,
    /// URL of the source repository, or empty.
    pub repository: &'static str,
    /// URL of a picture for the profile (kind 0), or empty.
    pub picture: &'static str,
    /// Internet identifier (NIP-05) such as `name@example.com`, or empty.
    pub nip05: &'static str,
    /// Keywords for the announcement (`t` tags).
    pub topics: &'static [&'static str],
    /// External relays from which the agent takes requests and on which it is announced.
    pub relays: &'static [&'static str],
    /// Which requests the agent answers.
    pub requests: Requests,
    /// The number of jobs that may run at the same time.
    pub concurrency: u32,
    /// The number of jobs that may be queued or running; further requests are rejected. As many again may wait for their
    /// inputs, price or payment. One customer may have a quarter of either, and at least 16.
    pub queue: u32,
    /// How old a request may be when it arrives.
    pub max_age: Duration,
    /// The time between two heartbeat events (kind 11998); none if `None`.
    pub heartbeat: Option<Duration>,
    /// The version of the state's form. A state stored with a lower version is migrated.
    pub state_version: u32,
    /// The variables of the deployment that its handlers read.
    pub variables: &'static [VariableDeclaration],
    /// The names of the secrets of the deployment that its handlers read. All must be set.
    pub secrets: &'static [&'static str],
}

/// A variable of the deployment that an agent's handlers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariableDeclaration {
    /// Its name, such as `LLM_MODEL`.
    pub name: &'static str,
    /// Its value if it is not set. Without a default, it must be set.
    pub default: Option<&'static str>,
}

/// Which requests an agent answers, among those with a kind it handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requests {
    /// Requests that name this agent in a `p` tag, and requests that name nobody.
    #[default]
    Anyone,
    /// Only requests that name this agent in a `p` tag.
    Named,
}

impl AgentDeclaration {
    /// A declaration with this name and default values.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            about: "",
            version: "",
            authors: "",
            license: "",
            homepage: "",
            repository: "",
            picture: "",
            nip05: "",
            topics: &[],
            relays: &[],
            requests: Requests::Anyone,
            concurrency: 64,
            queue: 10_000,
            max_age: Duration::from_secs(24 * 60 * 60),
            heartbeat: None,
            state_version: 1,
            variables: &[],
            secrets: &[],
        }
    }
}
