//! The HTTP server: the relay's WebSockets and the agent's routes on one port.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openagents_host::http::{Body, Parts, Request, Response, StatusCode, response};
use openagents_host::native::http::{self as native_http, HyperBody};
use openagents_host::native::now;
use openagents_relay::RelayInformation;
use openagents_relay::native::RelayHandle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::forwarded::client_address;
use super::mailbox::AgentMailbox;
use crate::declaration::DeploymentDeclaration;
use crate::http::{
    self, AgentRoute, AgentRoutes, RelayAnswer, RelayManagement, Route, RouteAnswer, relay_management,
    relay_only,
};

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a database may take to reply.
const STATE_QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a management request (NIP-86) may take, including its body.
const MANAGEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long open requests may take to finish when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// What the server serves.
pub(super) struct ServerConfig {
    pub(super) deployment: DeploymentDeclaration,
    pub(super) relay: RelayHandle,
    pub(super) information: RelayInformation,
    /// The agent beside the relay, if there is one.
    pub(super) agent: Option<AgentServer>,
    pub(super) management: RelayManagement,
    pub(super) trusted_proxies: BTreeSet<IpAddr>,
}

/// What answers at the routes of an agent.
pub(super) struct AgentServer {
    pub(super) mailbox: AgentMailbox,
    pub(super) routes: AgentRoutes,
}

/// A running server.
pub(super) struct Server {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Accepts connections and serves them.
    pub(super) fn start(listener: TcpListener, config: ServerConfig) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, accepting: tokio::spawn(accept(listener, Arc::new(config), stopped)) }
    }

    /// Stops accepting connections; open ones continue.
    pub(super) fn stop_accepting(&self) {
        self.stop.send_replace(true);
    }

    /// Waits a short time for open requests.
    pub(super) async fn stop(self) {
        self.stop_accepting();
        let _ = tokio::time::timeout(LAST_REQUESTS, self.accepting).await;
    }
}

async fn accept(listener: TcpListener, server: Arc<ServerConfig>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    connections.spawn(serve(stream, address.ip(), Arc::clone(&server)));
                }
                Err(error) => {
                    // Usually out of file descriptors, so some connections must end first.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, address: IpAddr, server: Arc<ServerConfig>) {
    // Without this, small frames can wait 40 ms for an acknowledgement (Nagle's algorithm).
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.answer(request, address).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection was closed early");
    }
}

impl ServerConfig {
    async fn answer(
        &self,
        received: hyper::Request<Incoming>,
        address: IpAddr,
    ) -> hyper::Response<HyperBody> {
        let (parts, body) = native_http::request(received).into_parts();
        let mut response = match http::route(&parts) {
            Route::Relay => {
                let address = client_address(address, &parts.headers, &self.trusted_proxies);
                let mut request = Request::from_parts(parts, body);
                let response = self.relay.upgrade(&mut request, Some(address));
                return native_http::response(response, request.method());
            }
            Route::RelayManagement => self.manage(&parts, body).await.unwrap_or_else(|refusal| refusal),
            Route::RelayInformation => self.relay.information(),
            Route::Preflight => response::preflight(),
            Route::NotFound => http::not_found(),
            Route::MethodNotAllowed => http::method_not_allowed(),
            Route::Agent(route) => match &self.agent {
                Some(agent) => agent.answer(route, &parts).await,
                None => self.answer_for_relay(route).await,
            },
        };
        response::set_common_headers(response.headers_mut());
        native_http::response(response, &parts.method)
    }

    async fn manage(&self, parts: &Parts, body: Body) -> Result<Response, Response> {
        let managed = async {
            let body = RelayManagement::read_body(parts, body).await?;
            let call = self.management.signed_call(parts, &body, now())?;
            tracing::info!(call = ?call.call, "relay management call");
            match self.relay.manage(call).await {
                Ok(reply) => Ok(relay_management::reply(reply)),
                Err(stopped) => Err(relay_management::refusal(StatusCode::OK, stopped.to_string())),
            }
        };
        tokio::time::timeout(MANAGEMENT_TIMEOUT, managed).await.unwrap_or_else(|_| {
            let reason = "the request timed out".to_owned();
            Err(relay_management::refusal(StatusCode::SERVICE_UNAVAILABLE, reason))
        })
    }

    /// Answers at a route of the agent where there is none.
    async fn answer_for_relay(&self, route: AgentRoute<'_>) -> Response {
        match relay_only::answer(route, &self.deployment, &self.information) {
            RelayAnswer::Response(response) => response,
            RelayAnswer::Probe(probe) => {
                let query = self.relay.query(probe.filters().into());
                let found = tokio::time::timeout(STATE_QUERY_TIMEOUT, query).await;
                probe.respond(matches!(found, Ok(Ok(_))))
            }
        }
    }
}

impl AgentServer {
    async fn answer(&self, route: AgentRoute<'_>, parts: &Parts) -> Response {
        let pending = match self.routes.answer(route, parts, now()) {
            RouteAnswer::Response(response) => return response,
            RouteAnswer::Ask(pending) => pending,
        };
        let asked = self.mailbox.query_state(pending.query.clone());
        let reply = match tokio::time::timeout(STATE_QUERY_TIMEOUT, asked).await {
            Ok(reply) => reply.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the agent's database did not reply within {STATE_QUERY_TIMEOUT:?}")),
        };
        if let Err(error) = &reply {
            tracing::warn!(%error, path = parts.uri.path(), "a request failed");
        }
        pending.respond(reply.ok())
    }
}
