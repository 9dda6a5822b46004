//! The Worker's `fetch` handler: finds the route and forwards the request to an object.

use std::cell::Cell;

use openagents_host::http::{Parts, StatusCode, request_url, response};
use openagents_host::worker::http::{self as worker_http, with_mutable_headers};
use openagents_host::worker::now;
use openagents_relay::worker::limits;
use worker::wasm_bindgen::JsCast as _;
use worker::{Context, Env, Request, Response, Result, js_sys};

use super::agent_object::{parts_health, relay_memory};
use super::blob_index_object;
use super::calls::{agent, relay};
use super::{gateway, jobs, variable};
use crate::declaration::DeploymentDeclaration;
use crate::gateway::Gateway;
use crate::http::{
    self, AgentRoute, Authority, DeploymentUsage, RelayAnswer, RelayManagement, Route, relay_management,
    relay_only,
};
use crate::settings::{NameSource, RelaySettings, SettingError, check_names};

/// Handles a request to the Worker.
///
/// # Errors
/// When the runtime fails.
pub async fn fetch(
    request: Request,
    env: Env,
    deployment: DeploymentDeclaration,
    gateway: Option<Gateway>,
    context: Context,
) -> Result<Response> {
    match answer(request, &env, &deployment, gateway, &context).await {
        Ok(response) => Ok(response),
        Err(error) => {
            worker::console_error!("{error}");
            Response::error("The deployment failed; its log has the reason.\n", 500)
        }
    }
}

async fn answer(
    request: Request,
    env: &Env,
    deployment: &DeploymentDeclaration,
    gateway: Option<Gateway>,
    context: &Context,
) -> Result<Response> {
    if gateway.is_none() {
        gateway::warn_of_unused_variables(env);
    }
    let parts = worker_http::parts(&request)?;
    if let Err(error) = check_variable_names(env) {
        return worker_http::response(misconfigured(&error), &parts.method);
    }
    let mut response = match http::route(&parts, deployment.routes()) {
        route @ (Route::Relay | Route::RelayInformation | Route::RelayManagement) => {
            match RelaySettings::read(deployment, &limits(), |name| variable(env, name), None) {
                // The response to a WebSocket upgrade has immutable headers.
                Ok(_) if route == Route::Relay => return relay(env)?.fetch_with_request(request).await,
                Ok(_) if route == Route::RelayInformation => {
                    with_mutable_headers(relay(env)?.fetch_with_request(request).await?)
                }
                Ok(settings) => {
                    worker_http::response(manage(env, &parts, request, settings).await?, &parts.method)?
                }
                Err(error) => worker_http::response(misconfigured(&error), &parts.method)?,
            }
        }
        Route::Blob(route) => {
            return blob_index_object::answer(env, deployment, route, &parts, request, misconfigured).await;
        }
        Route::Gateway => {
            let response = gateway::answer(env, context, gateway, &parts, request, misconfigured).await?;
            worker_http::response(response, &parts.method)?
        }
        Route::Preflight => worker_http::response(response::preflight(), &parts.method)?,
        Route::Jobs(route) if !deployment.agents.is_empty() => {
            let settings = RelaySettings::read(deployment, &limits(), |name| variable(env, name), None);
            let response = match settings {
                Ok(settings) => jobs::answer(env, deployment, settings, (route, &parts), request).await?,
                Err(error) => misconfigured(&error),
            };
            worker_http::response(response, &parts.method)?
        }
        Route::Jobs(_) | Route::NotFound => worker_http::response(http::not_found(), &parts.method)?,
        Route::MethodNotAllowed { allowed } => {
            worker_http::response(http::method_not_allowed(&allowed), &parts.method)?
        }
        Route::Agent(AgentRoute::Audit(_)) if gateway.is_none() => {
            worker_http::response(http::no_audit(), &parts.method)?
        }
        Route::PageFile(file) => worker_http::response(file.response(), &parts.method)?,
        Route::Agent(route) if deployment.agents.is_empty() => {
            let response = answer_for_relay(env, deployment, route, &parts).await?;
            worker_http::response(response, &parts.method)?
        }
        // Only the agent's object knows its key. Only requests with a route are forwarded, and no route has a path
        // that objects use to call each other.
        Route::Agent(_) => with_mutable_headers(agent(env)?.fetch_with_request(request).await?),
    };
    for (name, value) in response::COMMON_HEADERS {
        response.headers_mut().set(name.as_str(), value)?;
    }
    Ok(response)
}

thread_local! {
    /// Whether the names of all variables are known, once they were checked: they do not change while a Worker runs.
    static HAS_KNOWN_NAMES: Cell<bool> = const { Cell::new(false) };
}

/// Fails if a variable is meant for this deployment and nobody reads it. What agents declare has other names than these.
fn check_variable_names(env: &Env) -> std::result::Result<(), SettingError> {
    if !HAS_KNOWN_NAMES.get() {
        let names = js_sys::Object::keys(env.unchecked_ref::<js_sys::Object>());
        let names = names.iter().filter_map(|name| name.as_string());
        check_names(names, NameSource::Worker, &[])?;
        HAS_KNOWN_NAMES.set(true);
    }
    Ok(())
}

/// The response if a variable is invalid. Only the log says what is wrong with it.
fn misconfigured(error: &SettingError) -> openagents_host::http::Response {
    worker::console_error!("{error}");
    response::error(StatusCode::INTERNAL_SERVER_ERROR, &error.public_message())
}

/// Handles a route of an agent in a deployment without agents.
async fn answer_for_relay(
    env: &Env,
    deployment: &DeploymentDeclaration,
    route: AgentRoute<'_>,
    parts: &Parts,
) -> Result<openagents_host::http::Response> {
    let settings = match RelaySettings::read(deployment, &limits(), |name| variable(env, name), None) {
        Ok(settings) => settings,
        Err(error) => return Ok(misconfigured(&error)),
    };
    Ok(match relay_only::answer(route, parts, deployment, &settings.information) {
        RelayAnswer::Response(response) => response,
        RelayAnswer::Probe(probe) => probe.respond(parts_health(env).await),
        RelayAnswer::Usage => {
            let blobs = openagents_blossom::worker::statistics(env).await;
            relay_only::metrics(&DeploymentUsage { memory: relay_memory(env).await, blobs })
        }
    })
}

/// Handles a relay management call (NIP-86) by an operator.
async fn manage(
    env: &Env,
    parts: &Parts,
    mut request: Request,
    settings: RelaySettings,
) -> Result<openagents_host::http::Response> {
    // Cloudflare routes by the URL, so it can be trusted.
    let requested = request_url(parts);
    let known = [requested.as_deref(), settings.url.as_deref()];
    let own = known.into_iter().flatten().filter_map(Authority::of).collect();
    let management = RelayManagement::new(settings.operators, own, settings.url);
    let body = match RelayManagement::read_body(parts, worker_http::body(&mut request)?).await {
        Ok(body) => body,
        Err(refusal) => return Ok(refusal),
    };
    let call = match management.signed_call(parts, &body, now()) {
        Ok(call) => call,
        Err(refusal) => return Ok(refusal),
    };
    let ban = relay_management::owner_ban(&call.call);
    let body = String::from_utf8_lossy(&body);
    let reply = openagents_relay::worker::manage(&relay(env)?, call.token, &body).await?;
    if let (Ok(Ok(_)), Some(ban)) = (&reply, ban)
        && let Err(error) = blob_index_object::apply_ban(env, ban).await
    {
        return Ok(relay_management::unapplied(&error));
    }
    Ok(relay_management::reply(reply))
}
