//! Calls from the Worker and the relay's Durable Object to the agent's, and the stubs of both.

use std::borrow::Cow;
use std::cell::Cell;
use std::num::NonZeroU32;

use openagents_host::worker::{ObjectAddress, rpc};
use openagents_host::{BlobHash, Event, PublicKey, VerifiedEvent};
use serde::{Deserialize, Serialize};
use worker::{Env, Error, Result, Stub};

use super::variable;
use crate::engine::ClientAdmission;
use crate::settings;

/// A call to the agent's object.
#[derive(Serialize, Deserialize)]
pub(super) enum AgentCall<'a> {
    /// Store events that the relay has stored: job requests, and deletion requests that may cancel one.
    TakeRequests(Vec<Cow<'a, Event>>),
    /// Tell the agent's public key.
    TellKey,
    /// Count a request of a client of the gateway, who may send this many per minute.
    CountRequest { client: String, per_minute: NonZeroU32 },
    /// Tell whether an unfinished job of this customer names this blob.
    ExpectsBlob { customer: PublicKey, hash: BlobHash },
    /// This blob was uploaded: jobs may wait for it.
    BlobArrived { hash: BlobHash },
}

/// The reply of the agent's object.
#[derive(Serialize, Deserialize)]
pub(super) enum AgentReply {
    /// For each event: it was stored, or why it was not.
    Taken(Vec<std::result::Result<(), String>>),
    /// The public key.
    Key(PublicKey),
    /// Whether the client may send the request; `None` if the database failed.
    Counted(Option<ClientAdmission>),
    /// Yes or no.
    Answer(bool),
}

/// Lets the agent's object store events. Returns one outcome for each.
pub(super) async fn take_requests(
    env: &Env,
    events: &[VerifiedEvent],
) -> Result<Vec<std::result::Result<(), String>>> {
    let call = AgentCall::TakeRequests(events.iter().map(|event| Cow::Borrowed(&**event)).collect());
    match rpc::call(&agent(env)?, &call).await? {
        AgentReply::Taken(taken) => Ok(taken),
        AgentReply::Key(_) | AgentReply::Counted(_) | AgentReply::Answer(_) => Err(wrong_reply()),
    }
}

/// Lets the agent's object count a request of a client of the gateway.
pub(super) async fn count_request(
    env: &Env,
    client: String,
    per_minute: NonZeroU32,
) -> Result<ClientAdmission> {
    match rpc::call(&agent(env)?, &AgentCall::CountRequest { client, per_minute }).await? {
        AgentReply::Counted(Some(admission)) => Ok(admission),
        AgentReply::Counted(None) => Err(Error::RustError("the agent's database failed".to_owned())),
        AgentReply::Key(_) | AgentReply::Taken(_) | AgentReply::Answer(_) => Err(wrong_reply()),
    }
}

/// Asks the agent's object what is answered by yes or no.
pub(super) async fn ask_agent(env: &Env, call: &AgentCall<'_>) -> Result<bool> {
    match rpc::call(&agent(env)?, call).await? {
        AgentReply::Answer(answer) => Ok(answer),
        AgentReply::Key(_) | AgentReply::Taken(_) | AgentReply::Counted(_) => Err(wrong_reply()),
    }
}

fn wrong_reply() -> Error {
    Error::RustError("the agent gave the reply to another call".to_owned())
}

thread_local! {
    /// The agent's public key, once it is known: it does not change while a Worker runs.
    static AGENT_KEY: Cell<Option<PublicKey>> = const { Cell::new(None) };
}

/// The agent's public key. Without a configured key, only the agent's object knows it.
pub(super) async fn agent_key(env: &Env) -> Result<PublicKey> {
    if let Some(key) = AGENT_KEY.get() {
        return Ok(key);
    }
    let key = match configured_key(env)? {
        Some(key) => key,
        None => match rpc::call(&agent(env)?, &AgentCall::TellKey).await? {
            AgentReply::Key(key) => key,
            AgentReply::Taken(_) | AgentReply::Counted(_) | AgentReply::Answer(_) => {
                return Err(wrong_reply());
            }
        },
    };
    AGENT_KEY.set(Some(key));
    Ok(key)
}

fn configured_key(env: &Env) -> Result<Option<PublicKey>> {
    let keys = settings::agent_keys(|name| variable(env, name));
    Ok(keys.map_err(|error| Error::RustError(error.to_string()))?.map(|keys| keys.public_key()))
}

/// The stub of the relay's object.
pub(super) fn relay(env: &Env) -> Result<Stub> {
    ObjectAddress::Relay.stub(env)
}

/// The stub of the agent's object. If the deployment sets a key, the object's name is its npub.
pub(super) fn agent(env: &Env) -> Result<Stub> {
    ObjectAddress::Agent(configured_key(env)?).stub(env)
}
