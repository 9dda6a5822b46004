//! The traits of an agent: its state and declaration (`Agent`), its handlers (`Jobs`).

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{Handler, Hooks, Schedule};
use crate::declaration::AgentDeclaration;
use crate::send::Shareable;

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
