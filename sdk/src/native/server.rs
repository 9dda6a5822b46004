//! The HTTP server: the relay's WebSockets, blobs and the agent's routes on one port.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use openagents_blossom::native::BlobServer;
use openagents_host::http::{Body, Parts, Request, Response, StatusCode, response};
use openagents_host::native::http::{self as native_http, HyperBody};
use openagents_host::native::{WriteTimeout, now};
use openagents_relay::RelayInformation;
use openagents_relay::native::RelayHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::audit_folder::AuditFolder;
use super::disk_check::DiskCheck;
use super::forwarded::{client_address, is_untrusted_local_proxy};
use super::gateway::NativeGateway;
use super::job_uploads::NativeJobUploads;
use super::jobs;
use super::mailbox::AgentMailbox;
use super::tcp_connections::{HttpConnections, HttpPermit};
use super::transfers::Transfers;
use crate::declaration::DeploymentDeclaration;
use crate::gateway::{GatewayError, respond_with_error};
use crate::http::jobs::JobAgent;
use crate::http::{
    self, AgentRoute, AgentRoutes, BlobAdmission, DeploymentUsage, MAX_RESPONSE_WAIT, PartHealth,
    PartsHealth, RelayAnswer, RelayManagement, Route, RouteAnswer, relay_management, relay_only,
};
use crate::settings::names::RELAY_TRUSTED_PROXIES;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may read nothing of a response before its connection is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection is kept open for further requests. A WebSocket is open for longer: this ends with its
/// handshake.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(120);

/// How long the last response on a connection may take after [`MAX_CONNECTION_AGE`].
const LAST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the transfer of a blob may take beyond [`MAX_CONNECTION_AGE`].
const MAX_TRANSFER: Duration = Duration::from_secs(4 * 3_600);

/// How many bytes of requests or responses a connection may hold in memory; also the longest head of a request.
const MAX_BUFFERED_BYTES: usize = 64 * 1024;

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
    pub(super) blobs: BlobServer,
    pub(super) blob_admission: BlobAdmission,
    pub(super) disk: DiskCheck,
    pub(super) trusted_proxies: BTreeSet<IpAddr>,
    /// Whether the operator was told of a proxy on this machine that is not trusted.
    pub(super) has_warned_of_proxy: AtomicBool,
    /// Whether the limit of connections per network also applies to this machine.
    pub(super) limits_loopback: bool,
}

/// What answers at the routes of an agent.
pub(super) struct AgentServer {
    pub(super) mailbox: AgentMailbox,
    pub(super) routes: AgentRoutes,
    /// What answers `POST /`, if the deployment has a gateway.
    pub(super) gateway: Option<NativeGateway>,
    pub(super) audit: AuditFolder,
    /// What `/jobs` needs to know of the agent.
    pub(super) jobs: JobAgent,
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
    let open = Arc::new(HttpConnections::new(server.trusted_proxies.clone(), server.limits_loopback));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => match open.admit(&stream, address.ip()) {
                    Ok(permit) => {
                        connections.spawn(serve(stream, address.ip(), permit, Arc::clone(&server)));
                    }
                    Err(reason) => {
                        if let Some(refused) = open.refused(reason) {
                            connections.spawn(refused.tell(stream));
                        }
                    }
                },
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

async fn serve(stream: TcpStream, address: IpAddr, _permit: HttpPermit, server: Arc<ServerConfig>) {
    // Without this, small frames can wait 40 ms for an acknowledgement (Nagle's algorithm).
    let _ = stream.set_nodelay(true);
    let transfers = Transfers::default();
    let of_connection = transfers.clone();
    let service = service_fn(move |request| {
        let (server, transfers) = (Arc::clone(&server), of_connection.clone());
        async move { Ok::<_, Infallible>(server.answer(request, address, &transfers).await) }
    });
    serve_http(stream, service, &transfers).await;
}

/// Serves HTTP on a connection for a limited time, however slowly its client sends and reads. Blobs that are on their way
/// may arrive.
async fn serve_http<T, S>(stream: T, service: S, transfers: &Transfers)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = HyperBody, Error = Infallible>,
{
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_BUFFERED_BYTES)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, WRITE_TIMEOUT)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = match tokio::time::timeout(MAX_CONNECTION_AGE, connection.as_mut()).await {
        Ok(served) => served,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            if transfers.are_open() {
                let transferred = async {
                    tokio::select! {
                        served = connection.as_mut() => Some(served),
                        () = transfers.ended() => None,
                    }
                };
                if let Ok(Some(Err(error))) = tokio::time::timeout(MAX_TRANSFER, transferred).await {
                    tracing::debug!(%error, "a connection was closed early");
                    return;
                }
            }
            let last = tokio::time::timeout(LAST_RESPONSE_TIMEOUT, connection).await;
            last.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection was closed early");
    }
}

impl ServerConfig {
    async fn answer(
        &self,
        received: hyper::Request<Incoming>,
        address: IpAddr,
        transfers: &Transfers,
    ) -> hyper::Response<HyperBody> {
        let (parts, body) = native_http::request(received).into_parts();
        self.warn_of_proxy(address, &parts);
        let mut response = match http::route(&parts, self.deployment.routes()) {
            Route::Relay => {
                let address = client_address(address, &parts.headers, &self.trusted_proxies);
                let mut request = Request::from_parts(parts, body);
                let response = self.relay.upgrade(&mut request, Some(address));
                return native_http::response(response, request.method());
            }
            Route::Blob(route) => {
                let address = client_address(address, &parts.headers, &self.trusted_proxies);
                if let Err(refusal) = self.blob_admission.admit(now(), Some(address), &parts.method) {
                    return native_http::response(refusal, &parts.method);
                }
                let transfer = transfers.begin();
                let uploads = NativeJobUploads(self.agent.as_ref().map(|agent| &agent.mailbox));
                let response = self.blobs.answer(route, &parts, body, &uploads).await;
                return native_http::response(transfer.hold(response), &parts.method);
            }
            Route::Gateway => match self.gateway() {
                Some(gateway) => {
                    let address = client_address(address, &parts.headers, &self.trusted_proxies);
                    gateway.answer(address, parts.clone(), body).await
                }
                None => respond_with_error(&GatewayError::NoGateway),
            },
            Route::Agent(AgentRoute::Audit(_)) if self.gateway().is_none() => http::no_audit(),
            Route::Jobs(route) => match &self.agent {
                Some(agent) => {
                    let transfer = transfers.begin();
                    let address = client_address(address, &parts.headers, &self.trusted_proxies);
                    let asked = (route, &parts, body);
                    transfer.hold(jobs::answer(&self.relay, &agent.jobs, asked, address).await)
                }
                None => http::not_found(),
            },
            Route::RelayManagement => self.manage(&parts, body).await.unwrap_or_else(|refusal| refusal),
            Route::RelayInformation => self.relay.information(),
            Route::Preflight => response::preflight(),
            Route::NotFound => http::not_found(),
            Route::MethodNotAllowed { allowed } => http::method_not_allowed(&allowed),
            Route::PageFile(file) => file.response(),
            Route::Agent(route) => {
                let is_writable = route != AgentRoute::Health || self.disk.is_writable().await;
                match &self.agent {
                    Some(agent) => {
                        let address = client_address(address, &parts.headers, &self.trusted_proxies);
                        agent.answer(route, &parts, body, address, self, is_writable).await
                    }
                    None => self.answer_for_relay(route, &parts, is_writable).await,
                }
            }
        };
        response::set_common_headers(response.headers_mut());
        native_http::response(response, &parts.method)
    }

    fn gateway(&self) -> Option<&NativeGateway> {
        self.agent.as_ref()?.gateway.as_ref()
    }

    /// Says once that clients behind a proxy on this machine have no limits.
    fn warn_of_proxy(&self, address: IpAddr, parts: &Parts) {
        if !self.has_warned_of_proxy.load(Ordering::Relaxed)
            && is_untrusted_local_proxy(address, &parts.headers, &self.trusted_proxies)
            && !self.has_warned_of_proxy.swap(true, Ordering::Relaxed)
        {
            let address = address.to_canonical();
            tracing::warn!(
                "a request from {address} was forwarded: if a proxy runs on this machine, set {RELAY_TRUSTED_PROXIES}={address}; otherwise all clients behind it count as this machine, and none of them has limits"
            );
        }
    }

    async fn manage(&self, parts: &Parts, body: Body) -> Result<Response, Response> {
        let managed = async {
            let body = RelayManagement::read_body(parts, body).await?;
            let call = self.management.signed_call(parts, &body, now())?;
            tracing::info!(call = ?call.call, "relay management call");
            let ban = relay_management::owner_ban(&call.call);
            match self.relay.manage(call).await {
                Ok(reply) => {
                    if let (Ok(Ok(_)), Some(ban)) = (&reply, ban)
                        && let Err(error) = self.blobs.apply_ban(ban).await
                    {
                        return Err(relay_management::unapplied(&error));
                    }
                    Ok(relay_management::reply(reply))
                }
                Err(stopped) => Err(relay_management::refusal(StatusCode::OK, stopped.to_string())),
            }
        };
        tokio::time::timeout(MANAGEMENT_TIMEOUT, managed).await.unwrap_or_else(|_| {
            let reason = "the request timed out".to_owned();
            Err(relay_management::refusal(StatusCode::SERVICE_UNAVAILABLE, reason))
        })
    }

    /// Answers at a route of the agent where there is none.
    async fn answer_for_relay(&self, route: AgentRoute<'_>, parts: &Parts, is_writable: bool) -> Response {
        match relay_only::answer(route, parts, &self.deployment, &self.information) {
            RelayAnswer::Response(response) => response,
            RelayAnswer::Probe(probe) => {
                let mut parts = self.parts_health().await;
                if !is_writable {
                    parts.relay = PartHealth::Failing;
                }
                probe.respond(parts)
            }
            RelayAnswer::Usage => relay_only::metrics(&self.usage().await),
        }
    }

    async fn parts_health(&self) -> PartsHealth {
        let query = self.relay.query(PartsHealth::relay_probe().into());
        let (relay, blobs) = tokio::join!(
            tokio::time::timeout(STATE_QUERY_TIMEOUT, query),
            tokio::time::timeout(STATE_QUERY_TIMEOUT, self.blobs.statistics()),
        );
        PartsHealth {
            relay: PartHealth::of(matches!(relay, Ok(Ok(_)))),
            blobs: PartHealth::of(matches!(blobs, Ok(Some(_)))),
        }
    }

    async fn usage(&self) -> DeploymentUsage {
        let memory = Some(self.relay.statistics().memory);
        DeploymentUsage { memory, blobs: self.blobs.statistics().await }
    }
}

impl AgentServer {
    async fn answer(
        &self,
        route: AgentRoute<'_>,
        parts: &Parts,
        body: Body,
        address: IpAddr,
        server: &ServerConfig,
        is_writable: bool,
    ) -> Response {
        let answer = match route {
            AgentRoute::Health => self.routes.health(server.parts_health().await),
            AgentRoute::Metrics => self.routes.metrics(server.usage().await),
            route => self.routes.answer(route, parts, now()),
        };
        let pending = match answer {
            RouteAnswer::Response(response) => return response,
            RouteAnswer::Ask(pending) => pending,
            RouteAnswer::ChangeState { field } => {
                match self.routes.change_state(field.as_deref(), parts, body, now()).await {
                    Ok(pending) => pending,
                    Err(response) => return response,
                }
            }
            RouteAnswer::Call(route) => return self.call(route, parts, body, address).await,
            RouteAnswer::Audit(query) => return query.answer(Ok(&self.audit)).await,
        };
        let asked = self.mailbox.query_state(pending.query.clone());
        let reply = match tokio::time::timeout(STATE_QUERY_TIMEOUT, asked).await {
            Ok(_) if !is_writable => Err("the disk takes no data".to_owned()),
            Ok(reply) => reply.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the agent's database did not reply within {STATE_QUERY_TIMEOUT:?}")),
        };
        if let Err(error) = &reply {
            tracing::warn!(%error, path = parts.uri.path(), "a request failed");
        }
        pending.respond(reply.ok())
    }

    /// Passes a request to a route that the agent declares.
    async fn call(&self, route: usize, parts: &Parts, body: Body, address: IpAddr) -> Response {
        let request = match self.routes.receive(route, parts, body, Some(address), now()).await {
            Ok(request) => request,
            Err(response) => return response,
        };
        let called = self.mailbox.call(route, request);
        let answered = match tokio::time::timeout(MAX_RESPONSE_WAIT, called).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(%error, path = parts.uri.path(), "a request failed");
                None
            }
            Err(_) => None,
        };
        http::response_of(answered)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use hyper::service::service_fn;
    use openagents_host::http::{Method, StatusCode, response};
    use openagents_host::native::http as native_http;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, sleep};

    use super::{LAST_RESPONSE_TIMEOUT, MAX_CONNECTION_AGE, Transfers, WRITE_TIMEOUT, serve_http};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    /// A client of a server that answers every request with this many bytes.
    fn client(response_bytes: usize) -> (DuplexStream, JoinHandle<()>) {
        let (client, server) = duplex(1_000);
        let service = service_fn(move |_| async move {
            let response = response::text(StatusCode::OK, "x".repeat(response_bytes));
            Ok::<_, Infallible>(native_http::response(response, &Method::GET))
        });
        (client, tokio::spawn(async move { serve_http(server, service, &Transfers::default()).await }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_at_its_age_however_busy_it_is() {
        let (mut client, server) = client(10);
        let begun = Instant::now();
        while client.write_all(REQUEST).await.is_ok()
            && client.read(&mut [0; 1_000]).await.is_ok_and(|n| n > 0)
        {
            sleep(Duration::from_secs(5)).await;
        }
        server.await.unwrap();
        let ages = MAX_CONNECTION_AGE..=MAX_CONNECTION_AGE + Duration::from_secs(5);
        assert!(ages.contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_disconnected() {
        let (mut client, server) = client(10_000);
        let begun = Instant::now();
        for _ in 0..10 {
            client.write_all(REQUEST).await.unwrap();
        }
        server.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), WRITE_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_a_byte_at_a_time_is_disconnected() {
        let (mut client, server) = client(100_000);
        let begun = Instant::now();
        client.write_all(REQUEST).await.unwrap();
        while client.read(&mut [0]).await.is_ok_and(|read| read > 0) && !server.is_finished() {
            sleep(WRITE_TIMEOUT / 2).await;
        }
        server.await.unwrap();
        let ages = MAX_CONNECTION_AGE..=MAX_CONNECTION_AGE + LAST_RESPONSE_TIMEOUT + WRITE_TIMEOUT;
        assert!(ages.contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}
