//! What an agent declares about itself, from `#[agent]` and its `Cargo.toml`.

use std::time::Duration;

/// What an agent says about itself, from its attribute and its crate's `Cargo.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentDeclaration {
    /// Its name: lowercase letters, digits and hyphens.
    pub name: &'static str,
    /// What it does, in a sentence or two.
    pub about: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Who wrote it, separated by colons, as Cargo gives it.
    pub authors: &'static str,
    /// Its licence as an SPDX expression, or empty.
    pub license: &'static str,
    /// Its home page, or empty.
    pub homepage: &'static str,
    /// Where its source is, or empty.
    pub repository: &'static str,
    /// The address of a picture of it, or empty.
    pub picture: &'static str,
    /// Its name as an internet identifier (NIP-05), or empty.
    pub nip05: &'static str,
    /// Words to find it by.
    pub topics: &'static [&'static str],
    /// The relays beside its own that it takes requests from, and is announced on.
    pub relays: &'static [&'static str],
    /// Whose requests it answers.
    pub requests: Requests,
    /// How many jobs run side by side.
    pub concurrency: u32,
    /// How many jobs wait at most; further requests are refused.
    pub queue: u32,
    /// How old a request may be when it arrives.
    pub max_age: Duration,
    /// How often it says that it is alive; never by default.
    pub heartbeat: Option<Duration>,
    /// Which form its state has; a state stored in an earlier form is migrated.
    pub state_version: u32,
}

/// Which requests an agent answers, of those whose kind it has a handler for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requests {
    /// Those that name it, and those that name nobody.
    #[default]
    Anyone,
    /// Those that name it.
    Named,
}

impl AgentDeclaration {
    /// An agent of this name, and the defaults.
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
        }
    }
}
