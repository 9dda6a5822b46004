//! What an agent is: its durable state, its declaration, its handlers.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::handler::{Handler, Hooks, Schedule};

/// An agent: a struct whose fields are its durable state. Written by [`#[agent]`](crate::agent).
///
/// A new agent starts as its `Default`. From then on the fields are kept as JSON, committed together with the
/// outcome of the job that changed them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an agent",
    label = "no `#[agent]`",
    note = "write `#[agent(name = \"…\")]` above the struct, and `#[derive(Default, Serialize, Deserialize)]` below it"
)]
pub trait Agent: Default + Serialize + DeserializeOwned + Shareable + 'static {
    /// What the agent says about itself.
    const DECLARATION: AgentDeclaration;
}

/// The job handlers of an agent. Written by [`#[jobs]`](crate::jobs).
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no job handlers",
    label = "no `#[jobs]` impl block",
    note = "write `#[jobs]` above an `impl {Self}` block, and `#[job(kind = 5050)]` above each handler in it"
)]
pub trait Jobs: Agent {
    /// All handlers, in the order they are written.
    const HANDLERS: &'static [Handler<Self>];

    /// What it does by the clock.
    const SCHEDULES: &'static [Schedule<Self>] = &[];

    /// What it does at the turns of its life.
    const HOOKS: Hooks<Self> = Hooks::NONE;
}

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

/// What may be kept in a field of an agent.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in an agent's state",
    label = "not serialisable",
    note = "fields of an `#[agent]` struct are stored as JSON together with a job's outcome",
    note = "derive `Serialize` and `Deserialize` for `{Self}`, or mark the field `#[serde(skip)]` if it need not survive"
)]
pub trait StateField {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> StateField for T {}

/// What several handlers may use at a time. Natively that means threads, so it is `Send + Sync`; a Worker has one
/// thread, and there everything is shareable.
#[cfg(not(target_arch = "wasm32"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared between threads",
    note = "`&self` handlers run side by side, so an agent must be `Send` and `Sync`"
)]
pub trait Shareable: Send + Sync {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync> Shareable for T {}

/// What several handlers may use at a time: on a Worker, which has one thread, everything.
#[cfg(target_arch = "wasm32")]
pub trait Shareable {}

#[cfg(target_arch = "wasm32")]
impl<T> Shareable for T {}

/// What can be moved between threads: natively it must, on a Worker it need not.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}

#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// What can be moved between threads: natively it must, on a Worker it need not.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}

#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}
