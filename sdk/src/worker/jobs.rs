//! The Worker's part of `/jobs`: it waits for a job itself, on a connection to the relay's object, which may hibernate meanwhile.

use std::collections::BTreeSet;

use openagents_host::http::{Parts, Response};
use openagents_host::net::SocketError;
use openagents_host::worker::http as worker_http;
use worker::{Env, Request, Result};

use super::CLIENT_ADDRESS;
use super::calls::{agent_key, relay_socket};
use crate::declaration::DeploymentDeclaration;
use crate::http::jobs::{JobAgent, JobCall, refused_connection, unreachable_relay};
use crate::http::{JobRoute, RecordAccess};
use crate::settings::RelaySettings;

/// Answers at `/jobs`.
pub(super) async fn answer(
    env: &Env,
    deployment: &DeploymentDeclaration,
    settings: RelaySettings,
    (route, parts): (JobRoute<'_>, &Parts),
    mut request: Request,
) -> Result<Response> {
    // Cloudflare routes by the host name, so it can be trusted.
    let own = BTreeSet::new();
    let access = RecordAccess::new(agent_key(env).await?, settings.operators, settings.url.as_deref(), own);
    let agent = JobAgent::new(access, deployment, settings.config.limits.max_message_length);
    let call = match JobCall::read(route, parts, worker_http::body(&mut request)?, &agent).await {
        Ok(call) => call,
        Err(problem) => return Ok(problem.response()),
    };
    Ok(match relay_socket(env, parts.headers.get(&CLIENT_ADDRESS), call.signer()).await {
        Ok(socket) => call.answer(socket).await,
        Err(SocketError::Refused { status }) => {
            refused_connection(status, "the relay takes no more connections from this address").response()
        }
        Err(error) => {
            worker::console_error!("the relay could not be reached for a job request: {error}");
            unreachable_relay().response()
        }
    })
}
