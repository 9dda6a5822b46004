//! Calls from the relay's Durable Object to the agent's, and the stubs of both.

use std::borrow::Cow;

use openagents_host::worker::{ObjectAddress, rpc};
use openagents_host::{Event, VerifiedEvent};
use serde::{Deserialize, Serialize};
use worker::{Env, Result, Stub};

use super::variable;
use crate::settings;

/// A call to the agent's object.
#[derive(Serialize, Deserialize)]
pub(super) enum AgentCall<'a> {
    /// Store events that the relay has stored: job requests, and deletion requests that may cancel one.
    TakeRequests(Vec<Cow<'a, Event>>),
}

/// The reply of the agent's object.
#[derive(Serialize, Deserialize)]
pub(super) enum AgentReply {
    /// For each event: it was stored, or why it was not.
    Taken(Vec<std::result::Result<(), String>>),
}

/// Lets the agent's object store events. Returns one outcome for each.
pub(super) async fn take_requests(
    env: &Env,
    events: &[VerifiedEvent],
) -> Result<Vec<std::result::Result<(), String>>> {
    let call = AgentCall::TakeRequests(events.iter().map(|event| Cow::Borrowed(&**event)).collect());
    let AgentReply::Taken(taken) = rpc::call(&agent(env)?, &call).await?;
    Ok(taken)
}

/// The stub of the relay's object.
pub(super) fn relay(env: &Env) -> Result<Stub> {
    ObjectAddress::Relay.stub(env)
}

/// The stub of the agent's object. If the deployment sets a key, the object's name is its npub.
pub(super) fn agent(env: &Env) -> Result<Stub> {
    let keys = settings::agent_keys(|name| variable(env, name))
        .map_err(|error| worker::Error::RustError(error.to_string()))?;
    ObjectAddress::Agent(keys.map(|keys| keys.public_key())).stub(env)
}
