//! What an `#[event]` function of an agent declares: which events it handles.

use std::time::Duration;

/// What a function for events declares, in `#[event]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDeclaration {
    /// The kind of the events. Those that name the agent in a `p` tag are handled.
    pub kind: u16,
    /// The function's name.
    pub name: &'static str,
    /// What the function does, from its doc comment.
    pub about: &'static str,
    /// How long handling an event may take.
    pub timeout: Duration,
}
