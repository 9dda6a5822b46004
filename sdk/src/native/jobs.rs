//! The native host of `/jobs`: a job is waited for on a connection to the relay in memory.

use std::net::IpAddr;

use openagents_host::http::{Body, Parts, Response};
use openagents_host::net::Socket;
use openagents_relay::native::RelayHandle;

use crate::http::JobRoute;
use crate::http::jobs::{JobAgent, JobCall, refused_connection};

/// Answers at `/jobs` the client with this address.
pub(super) async fn answer(
    relay: &RelayHandle,
    agent: &JobAgent,
    (route, parts, body): (JobRoute<'_>, &Parts, Body),
    address: IpAddr,
) -> Response {
    let call = match JobCall::read(route, parts, body, agent).await {
        Ok(call) => call,
        Err(problem) => return problem.response(),
    };
    match relay.connect(Some(address), call.signer()) {
        Ok(connection) => call.answer(Socket::over(connection).await).await,
        Err(refusal) => refused_connection(refusal.status(), refusal.to_string()).response(),
    }
}
