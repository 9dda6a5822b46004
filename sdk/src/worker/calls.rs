//! Calls to the agent's Durable Object from the relay's, and the stubs of both.

use std::borrow::Cow;

use openagents_host::worker::{ObjectAddress, rpc};
use openagents_host::{Event, VerifiedEvent};
use serde::{Deserialize, Serialize};
use worker::{Env, Result, Stub};

use super::variable;
use crate::settings;

/// What the agent's object is asked for.
#[derive(Serialize, Deserialize)]
pub(super) enum AgentCall<'a> {
    /// To put an event on record that the relay has stored: a request, or a deletion that may be of one.
    TakeRequest(Cow<'a, Event>),
}

/// What it replies.
#[derive(Serialize, Deserialize)]
pub(super) enum AgentReply {
    /// The event is on record; or why it is not.
    Taken(std::result::Result<(), String>),
}

/// Has the agent's object put an event on record.
pub(super) async fn take_request(
    env: &Env,
    event: &VerifiedEvent,
) -> Result<std::result::Result<(), String>> {
    let call = AgentCall::TakeRequest(Cow::Borrowed(event));
    let AgentReply::Taken(taken) = rpc::call(&agent(env)?, &call).await?;
    Ok(taken)
}

/// The relay's object.
pub(super) fn relay(env: &Env) -> Result<Stub> {
    ObjectAddress::Relay.stub(env)
}

/// The agent's object, whose name is its npub if the deployment gives it a key.
pub(super) fn agent(env: &Env) -> Result<Stub> {
    let keys = settings::agent_keys(|name| variable(env, name))
        .map_err(|error| worker::Error::RustError(error.to_string()))?;
    ObjectAddress::Agent(keys.map(|keys| keys.public_key())).stub(env)
}
