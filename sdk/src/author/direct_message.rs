//! `DirectMessage`: a message that a `#[direct_message]` function answers (NIP-17).

use openagents_host::nostr::Tag;
use openagents_host::{EventId, PublicKey, Rumor, Timestamp};

use super::context::AgentContext;
use super::extract::Text;
use super::memory::Session;
use super::return_types::HandlerError;
use crate::error::JobError;

/// A direct message to the agent (NIP-17). Its seal says that its author wrote it; nobody can prove that to others.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// #[agent(name = "listener")]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Listener;
///
/// #[jobs]
/// impl Listener {
///     #[direct_message]
///     async fn answer(&self, message: DirectMessage, session: Session) -> JobResult<String> {
///         session.say("user", message.text());
///         Ok(format!("You wrote {} characters.", message.text().chars().count()))
///     }
/// }
/// # fn main() {}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectMessage(Rumor);

impl DirectMessage {
    pub(crate) fn new(message: Rumor) -> Self {
        Self(message)
    }

    /// The message's id, by which others refer to it.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.0.id
    }

    /// The author.
    #[must_use]
    pub fn author(&self) -> PublicKey {
        self.0.pubkey
    }

    /// When it was written, as its author says.
    #[must_use]
    pub fn written_at(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.created_at)
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.content
    }

    /// The tags, such as `e` of the message that it replies to.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.0.tags
    }
}

/// A direct message and the context of the run that answers it.
#[derive(Clone, Debug)]
pub struct DirectMessageContext {
    message: DirectMessage,
    agent_context: AgentContext,
}

impl DirectMessageContext {
    pub(crate) fn new(message: DirectMessage, agent_context: AgentContext) -> Self {
        Self { message, agent_context }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &DirectMessage {
        &self.message
    }

    /// The context of the run.
    #[must_use]
    pub fn agent_context(&self) -> &AgentContext {
        &self.agent_context
    }
}

/// An argument that a [`#[direct_message]`](macro@crate::direct_message) function can take.
#[diagnostic::on_unimplemented(
    message = "a function for direct messages cannot take `{Self}`",
    label = "not an argument of a function for direct messages",
    note = "they take `DirectMessage`, its text as `Text`, the conversation with its author as `Session`, and `AgentContext`"
)]
pub trait FromDirectMessage: Sized {
    /// Makes the argument.
    fn from_direct_message(context: &DirectMessageContext) -> Self;
}

impl FromDirectMessage for DirectMessage {
    fn from_direct_message(context: &DirectMessageContext) -> Self {
        context.message.clone()
    }
}

/// The message's text.
impl FromDirectMessage for Text {
    fn from_direct_message(context: &DirectMessageContext) -> Self {
        context.message.text().into()
    }
}

/// The conversation with the message's author.
impl FromDirectMessage for Session {
    fn from_direct_message(context: &DirectMessageContext) -> Self {
        Self::new(context.agent_context.clone(), context.message.author())
    }
}

impl FromDirectMessage for AgentContext {
    fn from_direct_message(context: &DirectMessageContext) -> Self {
        context.agent_context.clone()
    }
}

/// What a [`#[direct_message]`](macro@crate::direct_message) function can answer with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the reply to a direct message",
    label = "not a reply",
    note = "functions for direct messages return `JobResult` of text (`String`, `&str`), `Option<String>` if there may be no reply, or `()`"
)]
pub trait IntoReply {
    /// The text of the reply; none if it is empty.
    fn into_reply(self) -> Option<String>;
}

impl IntoReply for String {
    fn into_reply(self) -> Option<String> {
        Some(self)
    }
}

impl IntoReply for &'static str {
    fn into_reply(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl IntoReply for Option<String> {
    fn into_reply(self) -> Option<String> {
        self
    }
}

impl IntoReply for () {
    fn into_reply(self) -> Option<String> {
        None
    }
}

/// The return type of a function for direct messages: a `Result` of a reply.
#[diagnostic::on_unimplemented(
    message = "a function for direct messages cannot return `{Self}`",
    label = "not a `JobResult` of a reply",
    note = "functions for direct messages return `JobResult<T>`, where `T` is text (`String`, `&str`), `Option<String>` if there may be no reply, or `()`"
)]
pub trait ReplyReturn {
    /// Converts it to a result.
    ///
    /// # Errors
    /// The function's own error.
    fn into_reply_result(self) -> Result<Option<String>, JobError>;
}

impl<T: IntoReply, E: HandlerError> ReplyReturn for Result<T, E> {
    fn into_reply_result(self) -> Result<Option<String>, JobError> {
        Ok(self.map_err(HandlerError::into_job_error)?.into_reply().filter(|text| !text.is_empty()))
    }
}
