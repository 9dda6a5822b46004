//! The Worker's `fetch` handler: finds the route and passes the request on to an object.

use futures_util::StreamExt;
use openagents_host::worker::now;
use openagents_relay::management::MAX_REQUEST_BYTES;
use openagents_relay::worker::limits;
use worker::{Env, Method, Request, RequestInit, Response, Result, Stub};

use super::{AGENT_BINDING, KEYLESS_AGENT, MAIN_RELAY, RELAY_BINDING, variable};
use crate::author::agent::Jobs;
use crate::http::relay_management::{self, RelayOperators};
use crate::http::{self, HttpRequest, HttpResponse, Route};
use crate::settings::{self, RelaySettings};

/// Where the agent's object takes HTTP requests that the Worker passes on.
pub(super) const HTTP_REQUESTS_PATH: &str = "/visits";

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
    let route = http::route(
        request.method().as_ref(),
        url.path(),
        &header("accept"),
        &header("content-type"),
        is_upgrade,
    );
    let mut response = match route {
        Route::Relay | Route::RelayInformation | Route::Management => {
            match RelaySettings::read::<A>(&limits(), |name| variable(env, name), None) {
                // A WebSocket's response has no headers to add to.
                Ok(_) if route == Route::Relay => return relay(env)?.fetch_with_request(request).await,
                Ok(_) if route == Route::RelayInformation => {
                    rebuilt(relay(env)?.fetch_with_request(request).await?).await?
                }
                Ok(settings) => manage(env, request, settings).await?,
                Err(error) => written(HttpResponse::failure(500, &error.to_string()))?,
            }
        }
        Route::Preflight => written(HttpResponse::empty())?,
        Route::NotFound => written(HttpResponse::nowhere())?,
        Route::MethodNotAllowed => written(HttpResponse::wrong_method())?,
        Route::Agent(_) => {
            let method = request.method().to_string();
            ask_agent(
                env,
                &HttpRequest { method, url: url.to_string(), authorization: header("authorization") },
            )
            .await?
        }
    };
    for (name, value) in http::COMMON_HEADERS {
        response.headers_mut().set(name, value)?;
    }
    Ok(response)
}

/// Asks the agent's object, which alone knows its key.
async fn ask_agent(env: &Env, http_request: &HttpRequest) -> Result<Response> {
    let stub = env.durable_object(AGENT_BINDING)?.get_by_name(&agent_name(env)?)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Post).with_body(Some(serde_json::to_string(http_request)?.into()));
    let request = Request::new_with_init(&format!("https://agent{HTTP_REQUESTS_PATH}"), &init)?;
    rebuilt(stub.fetch_with_request(request).await?).await
}

/// The relay's object.
fn relay(env: &Env) -> Result<Stub> {
    env.durable_object(RELAY_BINDING)?.get_by_name(MAIN_RELAY)
}

/// Lets an operator manage the relay (NIP-86).
async fn manage(env: &Env, mut request: Request, settings: RelaySettings) -> Result<Response> {
    let url = request.url()?;
    let mut access = settings.config.access;
    // Cloudflare routes by the host name, so that it vouches for it.
    access.hosts.extend(url.host_str().map(str::to_ascii_lowercase));
    let http_request = HttpRequest {
        method: request.method().to_string(),
        url: url.to_string(),
        authorization: request.headers().get("authorization")?.unwrap_or_default(),
    };
    let length = request.headers().get("content-length")?;
    if let Err(page) = RelayOperators::may_be_read(&http_request, length.as_deref()) {
        return written(page);
    }
    let Some(body) = body(&mut request).await? else { return written(relay_management::too_long()) };
    match RelayOperators::new(settings.operators, access).admit(&http_request, &body, now()) {
        Ok(signed) => {
            let body = String::from_utf8_lossy(&body);
            let answer = openagents_relay::worker::manage(&relay(env)?, signed.token, &body).await?;
            written(relay_management::answered(answer))
        }
        Err(page) => written(page),
    }
}

/// What a request holds; none if that is more than any call. It need not say its length beforehand.
async fn body(request: &mut Request) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    if request.inner().body().is_none() {
        return Ok(Some(body));
    }
    let mut chunks = request.stream()?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if body.len().saturating_add(chunk.len()) > MAX_REQUEST_BYTES {
            return Ok(None);
        }
        body.extend(chunk);
    }
    Ok(Some(body))
}

/// A response that was fetched cannot be changed; one made from its parts can.
async fn rebuilt(mut response: Response) -> Result<Response> {
    let (status, headers) = (response.status_code(), response.headers().clone());
    Ok(Response::from_bytes(response.bytes().await?)?.with_status(status).with_headers(headers))
}

/// Puts a page on its way.
pub(super) fn written(page: HttpResponse) -> Result<Response> {
    let mut response = match page.status {
        // A response without a body has no type either.
        204 => return Ok(Response::empty()?.with_status(204)),
        status => Response::ok(page.body)?.with_status(status),
    };
    let headers = response.headers_mut();
    headers.set("content-type", page.content_type)?;
    for (name, value) in page.headers {
        headers.set(name, value)?;
    }
    Ok(response)
}

/// Under which name the agent's object is found: its npub, if the deployment gives it a key.
pub(super) fn agent_name(env: &Env) -> Result<String> {
    let keys = settings::agent_keys(|name| variable(env, name))
        .map_err(|error| worker::Error::RustError(error.to_string()))?;
    Ok(keys.map_or_else(|| KEYLESS_AGENT.to_owned(), |keys| keys.npub()))
}
