//! Calls from the Worker and the relay's Durable Object to the agent's, and the stubs of both.

use std::borrow::Cow;
use std::cell::Cell;

use openagents_host::http::HeaderValue;
use openagents_host::net::{Socket, SocketError};
use openagents_host::worker::{ObjectAddress, rpc};
use openagents_host::{BlobHash, Event, PublicKey, VerifiedEvent};
use openagents_relay::worker::AUTHENTICATED_PATH;
use serde::{Deserialize, Serialize};
use worker::{Env, Error, Method, Request, RequestInit, Result, Stub};

use super::{CLIENT_ADDRESS, variable};
use crate::audit::AuditRecord;
use crate::engine::{ClientAdmission, CountedRequest};
use crate::settings;

/// The address of the relay's object in calls by stub. Its host is one by which the relay knows itself (NIP-42).
pub(super) const OWN_RELAY: &str = "https://relay/";

/// A call to the agent's object.
#[derive(Serialize, Deserialize)]
pub(super) enum AgentCall<'a> {
    /// Store events that the relay has stored: job requests, and deletion requests that may cancel one.
    TakeRequests(Vec<Cow<'a, Event>>),
    /// Tell the agent's public key.
    TellKey,
    /// Tell whether an unfinished job of this customer names this blob.
    ExpectsBlob { customer: PublicKey, hash: BlobHash },
    /// This blob was uploaded: jobs may wait for it.
    BlobArrived { hash: BlobHash },
    /// Count a request to the gateway.
    CountRequest(CountedRequest),
    /// Keep a record of the gateway's audit until it can be stored.
    KeepAuditRecord(AuditRecord),
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
    /// Whether there was room for the record; `None` if the database failed.
    Kept(Option<bool>),
}

/// Lets the agent's object store events. Returns one outcome for each.
pub(super) async fn take_requests(
    env: &Env,
    events: &[VerifiedEvent],
) -> Result<Vec<std::result::Result<(), String>>> {
    let call = AgentCall::TakeRequests(events.iter().map(|event| Cow::Borrowed(&**event)).collect());
    match rpc::call(&agent(env)?, &call).await? {
        AgentReply::Taken(taken) => Ok(taken),
        _ => Err(wrong_reply()),
    }
}

/// Lets the agent's object count a request to the gateway.
pub(super) async fn count_request(env: &Env, request: CountedRequest) -> Result<ClientAdmission> {
    match rpc::call(&agent(env)?, &AgentCall::CountRequest(request)).await? {
        AgentReply::Counted(Some(admission)) => Ok(admission),
        AgentReply::Counted(None) => Err(database_failed()),
        _ => Err(wrong_reply()),
    }
}

/// Asks the agent's object what is answered by yes or no.
pub(super) async fn ask_agent(env: &Env, call: &AgentCall<'_>) -> Result<bool> {
    match rpc::call(&agent(env)?, call).await? {
        AgentReply::Answer(answer) => Ok(answer),
        _ => Err(wrong_reply()),
    }
}

/// Lets the agent's object keep a record of the gateway's audit. Returns whether there was room for it.
pub(super) async fn keep_audit_record(env: &Env, record: AuditRecord) -> Result<bool> {
    match rpc::call(&agent(env)?, &AgentCall::KeepAuditRecord(record)).await? {
        AgentReply::Kept(Some(is_kept)) => Ok(is_kept),
        AgentReply::Kept(None) => Err(database_failed()),
        _ => Err(wrong_reply()),
    }
}

fn database_failed() -> Error {
    Error::RustError("the agent's database failed".to_owned())
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
            _ => return Err(wrong_reply()),
        },
    };
    AGENT_KEY.set(Some(key));
    Ok(key)
}

fn configured_key(env: &Env) -> Result<Option<PublicKey>> {
    let keys = settings::agent_keys(|name| variable(env, name));
    Ok(keys.map_err(|error| Error::RustError(error.to_string()))?.map(|keys| keys.public_key()))
}

/// Opens a WebSocket to the relay's object, for the client with this address or, if there is none, for the deployment
/// itself. With a key, the client has authenticated.
pub(super) async fn relay_socket(
    env: &Env,
    client: Option<&HeaderValue>,
    authenticated: Option<PublicKey>,
) -> std::result::Result<Socket, SocketError> {
    let answered = async {
        let mut init = RequestInit::new();
        init.with_method(Method::Get);
        init.headers.set("upgrade", "websocket")?;
        if let Some(address) = client.and_then(|address| address.to_str().ok()) {
            init.headers.set(CLIENT_ADDRESS.as_str(), address)?;
        }
        let url = match authenticated {
            Some(key) => format!("{}{AUTHENTICATED_PATH}{key}", OWN_RELAY.trim_end_matches('/')),
            None => OWN_RELAY.to_owned(),
        };
        relay(env)?.fetch_with_request(Request::new_with_init(&url, &init)?).await
    };
    let response = answered.await.map_err(|error: Error| SocketError::Network(error.to_string()))?;
    let status = response.status_code();
    let socket = response.websocket().ok_or(SocketError::Refused { status })?;
    Socket::from_worker(socket)
}

/// The stub of the relay's object.
pub(super) fn relay(env: &Env) -> Result<Stub> {
    ObjectAddress::Relay.stub(env)
}

/// The stub of the agent's object. If the deployment sets a key, the object's name is its npub.
pub(super) fn agent(env: &Env) -> Result<Stub> {
    ObjectAddress::Agent(configured_key(env)?).stub(env)
}
