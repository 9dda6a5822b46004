//! What a `#[direct_message]` function of an agent declares.

use std::time::Duration;

/// What a function for direct messages declares, in `#[direct_message]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectMessageDeclaration {
    /// The function's name.
    pub name: &'static str,
    /// What the function does, from its doc comment.
    pub about: &'static str,
    /// How long answering a message may take.
    pub timeout: Duration,
}
