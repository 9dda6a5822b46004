//! The Worker's entry: it finds the door and what is behind it, and keeps nothing.

use openagents_relay::{Limits, information};
use worker::{Env, Request, Response, Result};

use super::{AGENT_BINDING, KEYLESS_AGENT, MAIN_RELAY, RELAY_BINDING, variable};
use crate::agent::Jobs;
use crate::door::{self, Door};
use crate::settings;

/// Answers a request to the Worker.
///
/// # Errors
/// When the runtime fails.
pub async fn fetch<A: Jobs>(request: Request, env: Env) -> Result<Response> {
    match answer::<A>(request, &env).await {
        Ok(response) => Ok(response),
        Err(error) => {
            worker::console_error!("{error}");
            Response::error("The deployment failed to answer; its log says why.\n", 500)
        }
    }
}

async fn answer<A: Jobs>(request: Request, env: &Env) -> Result<Response> {
    let url = request.url()?;
    let header = |name: &str| request.headers().get(name).ok().flatten().unwrap_or_default();
    let is_upgrade = header("upgrade").eq_ignore_ascii_case("websocket");
    let mut response = match door::door(request.method().as_ref(), url.path(), &header("accept"), is_upgrade)
    {
        // A WebSocket's response has no headers to add to.
        Door::Relay => {
            return env
                .durable_object(RELAY_BINDING)?
                .get_by_name(MAIN_RELAY)?
                .fetch_with_request(request)
                .await;
        }
        Door::RelayInformation => {
            match settings::relay_information::<A>(Limits::default(), |name| variable(env, name)) {
                Ok(information) => page(information::CONTENT_TYPE, information.to_json())?,
                Err(error) => Response::error(format!("{error}\n"), 500)?,
            }
        }
        Door::Preflight => Response::empty()?.with_status(204),
        Door::Welcome => ask_agent(env, "/welcome").await?,
        Door::Health => ask_agent(env, "/health").await?,
        Door::Manifest { npub } => ask_agent(env, &format!("/manifest?agent={npub}")).await?,
        Door::Nowhere => Response::error(door::NOWHERE, 404)?,
        Door::WrongMethod => {
            let mut response = Response::error(door::WRONG_METHOD, 405)?;
            response.headers_mut().set("allow", "GET, HEAD, OPTIONS")?;
            response
        }
    };
    for (name, value) in door::HEADERS {
        response.headers_mut().set(name, value)?;
    }
    Ok(response)
}

/// Asks the agent's object, which alone knows its key.
async fn ask_agent(env: &Env, path: &str) -> Result<Response> {
    let stub = env.durable_object(AGENT_BINDING)?.get_by_name(&agent_name(env)?)?;
    let response = stub.fetch_with_str(&format!("https://agent.internal{path}")).await?;
    // A response that was fetched cannot be changed; one made from its parts can.
    let (status, headers) = (response.status_code(), response.headers().clone());
    let mut response = response;
    Ok(Response::from_bytes(response.bytes().await?)?.with_status(status).with_headers(headers))
}

/// Under which name the agent's object is found: its npub, if the deployment gives it a key.
pub(super) fn agent_name(env: &Env) -> Result<String> {
    let keys = settings::agent_keys(|name| variable(env, name))
        .map_err(|error| worker::Error::RustError(error.to_string()))?;
    Ok(keys.map_or_else(|| KEYLESS_AGENT.to_owned(), |keys| keys.npub()))
}

fn page(content_type: &str, body: String) -> Result<Response> {
    let mut response = Response::ok(body)?;
    response.headers_mut().set("content-type", content_type)?;
    Ok(response)
}
