//! The traits of an agent: its state and declaration (`Agent`), its handlers (`Jobs`).

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{DirectMessageHandler, EventHandler, Handler, Hooks, RouteHandler, Schedule};
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
pub trait Agent: Shareable + Sized + 'static {
    /// Name, description, limits and relays, from `#[agent]` and `Cargo.toml`.
    const DECLARATION: AgentDeclaration;

    /// How the state begins and is stored.
    const STATE: StateJson<Self>;
}

/// How an agent's state begins, and is stored: as JSON, by serde.
///
/// It is a constant of [`Agent`] instead of `Default`, `Serialize` and `DeserializeOwned` as its supertraits, since those
/// would be checked, and reported as missing, again wherever an agent is used.
#[derive(Debug)]
pub struct StateJson<A> {
    initial: fn() -> A,
    write: fn(&A) -> serde_json::Result<String>,
    read: fn(&str) -> serde_json::Result<A>,
}

impl<A: Default + Serialize + DeserializeOwned> StateJson<A> {
    /// By serde's implementations for the agent.
    #[must_use]
    pub const fn by_serde() -> Self {
        Self {
            initial: A::default,
            write: |state| serde_json::to_string(state),
            read: |json| serde_json::from_str(json),
        }
    }
}

impl<A> StateJson<A> {
    /// The state of a new agent.
    pub(crate) fn initial(&self) -> A {
        (self.initial)()
    }

    /// In place of that of a struct which `#[agent]` refuses, so that nothing else is reported.
    #[must_use]
    pub const fn of_refused_struct() -> Self {
        Self {
            initial: || std::process::abort(),
            write: |_| Err(serde::ser::Error::custom("not an agent")),
            read: |_| Err(serde::de::Error::custom("not an agent")),
        }
    }

    /// Writes a state.
    ///
    /// # Errors
    /// When JSON cannot hold it: a map whose keys are not text, for example.
    pub(crate) fn write(&self, state: &A) -> serde_json::Result<String> {
        (self.write)(state)
    }

    /// Reads a state.
    ///
    /// # Errors
    /// When the text is not JSON, or not of the agent's fields.
    pub(crate) fn read(&self, json: &str) -> serde_json::Result<A> {
        (self.read)(json)
    }
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

    /// All functions marked `#[event]`.
    const EVENTS: &'static [EventHandler<Self>] = &[];

    /// The function marked `#[direct_message]`.
    const DIRECT_MESSAGE: Option<DirectMessageHandler<Self>> = None;

    /// All functions marked `#[route]`.
    const ROUTES: &'static [RouteHandler<Self>] = &[];

    /// The functions marked `#[on_create]`, `#[on_wake]`, `#[on_sleep]`, `#[on_error]` and `#[migrate]`.
    const HOOKS: Hooks<Self> = Hooks::NONE;
}

/// A type that can be a field of an agent: anything that serde can write and read.
///
/// [`#[agent]`](crate::agent) makes serde's implementations depend on it, so that a field which cannot be stored is one
/// error. The lifetime is for this only: a condition `for<'a> Field: StateField<'a>` is not judged before it is needed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in an agent's state",
    label = "not serialisable",
    note = "fields of an `#[agent]` struct are stored as JSON together with a job's outcome",
    note = "derive `Serialize` and `Deserialize` for `{Self}`, or mark the field `#[serde(skip)]` if it need not survive"
)]
pub trait StateField<'a>: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> StateField<'_> for T {}
