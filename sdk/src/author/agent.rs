//! The traits of an agent: its state and declaration (`Agent`), its handlers (`Jobs`).

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{Handler, Hooks, Schedule};
use crate::declaration::AgentDeclaration;
use crate::send::Shareable;

/// An agent: a struct whose fields are its durable state. [`#[agent]`](crate::agent) implements this trait.
///
/// A new agent starts as its `Default`. After that, the fields are stored as JSON and committed together with the
/// outcome of the job that changed them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an agent",
    label = "no `#[agent]`",
    note = "write `#[agent(name = \"…\")]` above the struct, and `#[derive(Default, Serialize, Deserialize)]` below it"
)]
pub trait Agent: Default + Serialize + DeserializeOwned + Shareable + 'static {
    /// Name, description, limits and relays, from `#[agent]` and `Cargo.toml`.
    const DECLARATION: AgentDeclaration;
}

/// The job handlers of an agent. [`#[jobs]`](crate::jobs) implements this trait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no job handlers",
    label = "no `#[jobs]` impl block",
    note = "write `#[jobs]` above an `impl {Self}` block, and `#[job(kind = 5050)]` above each handler in it"
)]
pub trait Jobs: Agent {
    /// All job handlers, in source order.
    const HANDLERS: &'static [Handler<Self>];

    /// All functions marked `#[schedule]`.
    const SCHEDULES: &'static [Schedule<Self>] = &[];

    /// The functions marked `#[on_create]`, `#[on_wake]`, `#[on_sleep]`, `#[on_error]` and `#[migrate]`.
    const HOOKS: Hooks<Self> = Hooks::NONE;
}

/// A type that can be a field of an agent: anything that serde can write and read.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in an agent's state",
    label = "not serialisable",
    note = "fields of an `#[agent]` struct are stored as JSON together with a job's outcome",
    note = "derive `Serialize` and `Deserialize` for `{Self}`, or mark the field `#[serde(skip)]` if it need not survive"
)]
pub trait StateField {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> StateField for T {}
