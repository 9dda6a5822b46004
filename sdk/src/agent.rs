//! What an agent is: its durable state, its declaration, its handlers.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::handler::Handler;

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
