//! The Worker's part of the gateway: it forwards requests itself, and counts them in the agent's object.

use std::net::IpAddr;
use std::num::NonZeroU32;

use async_trait::async_trait;
use openagents_host::http::{Parts, Response, header_text};
use openagents_host::timeout;
use openagents_host::worker::http as worker_http;
use worker::{Env, Request, Result};

use super::calls::count_request;
use super::{DELIVERY_TIMEOUT, variable};
use crate::engine::ClientAdmission;
use crate::gateway::{Gateway, GatewayError, GatewayHost, GatewayService, respond_with_error};
use crate::settings::{SettingError, gateway_config};

/// The header in which Cloudflare tells the client's address.
const CLIENT_ADDRESS: openagents_host::http::HeaderName =
    openagents_host::http::HeaderName::from_static("cf-connecting-ip");

/// Answers `POST /`; `misconfigured` is the response if a variable is invalid.
pub(super) async fn answer(
    env: &Env,
    gateway: Option<Gateway>,
    parts: &Parts,
    mut request: Request,
    misconfigured: impl FnOnce(&SettingError) -> Response,
) -> Result<Response> {
    let Some(gateway) = gateway else { return Ok(respond_with_error(&GatewayError::NoGateway)) };
    let config = match gateway_config(|name| variable(env, name)) {
        Ok(config) => config,
        Err(error) => return Ok(misconfigured(&error)),
    };
    let address: Option<IpAddr> = header_text(&parts.headers, &CLIENT_ADDRESS).parse().ok();
    let body = worker_http::body(&mut request)?;
    Ok(GatewayService { gateway, config }.answer(&AgentObjectCounter(env), address, parts, body).await)
}

struct AgentObjectCounter<'a>(&'a Env);

#[async_trait(?Send)]
impl GatewayHost for AgentObjectCounter<'_> {
    async fn admit(
        &self,
        client: String,
        per_minute: NonZeroU32,
    ) -> std::result::Result<ClientAdmission, GatewayError> {
        match timeout(DELIVERY_TIMEOUT, count_request(self.0, client, per_minute)).await {
            Some(Ok(admission)) => Ok(admission),
            Some(Err(error)) => {
                worker::console_error!("a request to the gateway could not be counted: {error}");
                Err(GatewayError::NoDatabase)
            }
            None => Err(GatewayError::NoDatabase),
        }
    }
}
