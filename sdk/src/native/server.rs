//! The HTTP server: the relay's WebSockets and the agent's routes on one port.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use openagents_host::native::now;
use openagents_relay::management::MAX_REQUEST_BYTES;
use openagents_relay::native::{RelayHandle, is_upgrade};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::forwarded::client_address;
use super::mailbox::AgentMailbox;
use crate::http::relay_management::{self, RelayOperators};
use crate::http::{self, AgentRoute, AgentRoutes, HttpRequest, HttpResponse, Route, RouteAnswer};

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the agent's database may take to answer.
const STATE_QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to send what a request holds, and the relay to answer it.
const MANAGEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long open requests may take when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// What is served.
pub(super) struct ServerConfig {
    pub(super) relay: RelayHandle,
    pub(super) agent: AgentMailbox,
    pub(super) routes: AgentRoutes,
    pub(super) operators: RelayOperators,
    pub(super) trusted_proxies: BTreeSet<IpAddr>,
}

/// A running server.
pub(super) struct Server {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

type HyperResponse = Response<Full<Bytes>>;

impl Server {
    /// Serves whoever connects.
    pub(super) fn start(listener: TcpListener, config: ServerConfig) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, accepting: tokio::spawn(accept(listener, Arc::new(config), stopped)) }
    }

    /// Takes no more connections; the ones that are open go on.
    pub(super) fn stop_accepting(&self) {
        self.stop.send_replace(true);
    }

    /// Waits a little for open requests.
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
                    // Out of file descriptors, most often: existing connections must end first.
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
    // Without it, small frames wait 40 ms for an acknowledgement (Nagle's algorithm).
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
        tracing::debug!(%error, "a connection ended early");
    }
}

impl ServerConfig {
    async fn answer(&self, mut request: Request<Incoming>, address: IpAddr) -> HyperResponse {
        let header =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (method, path) = (request.method().as_str(), request.uri().path());
        let route = http::route(method, path, header(ACCEPT), header(CONTENT_TYPE), is_upgrade(&request));
        let mut answer = match route {
            Route::Relay => {
                let address = client_address(address, request.headers(), &self.trusted_proxies);
                return self.relay.upgrade(&mut request, Some(address));
            }
            Route::Management => written(self.managed(request).await),
            Route::RelayInformation => self.relay.information(),
            Route::Preflight => written(HttpResponse::empty()),
            Route::NotFound => written(HttpResponse::nowhere()),
            Route::MethodNotAllowed => written(HttpResponse::wrong_method()),
            Route::Agent(route) => {
                // A client that names the host in the request line means that one (RFC 9112).
                let host = request.uri().authority().map_or(header(HOST), |authority| authority.as_str());
                // An authority and nothing else: the URL that is signed must not end with the one that is meant.
                let host = if host.contains(['/', '?', '#', '\\', '@']) { "" } else { host };
                let path = request.uri().path_and_query().map_or(path, |path| path.as_str());
                let http_request = HttpRequest {
                    method: method.to_owned(),
                    url: format!("http://{host}{path}"),
                    authorization: header(AUTHORIZATION).to_owned(),
                };
                written(self.agent_page(route, &http_request).await)
            }
        };
        for (name, value) in http::COMMON_HEADERS {
            answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        answer
    }

    async fn managed(&self, request: Request<Incoming>) -> HttpResponse {
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let http_request = HttpRequest {
            method: request.method().to_string(),
            url: request.uri().to_string(),
            authorization: authorization.unwrap_or_default().to_owned(),
        };
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if let Err(page) = RelayOperators::may_be_read(&http_request, length) {
            return page;
        }
        let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect();
        let answer = async {
            let body = match body.await {
                Ok(body) => body.to_bytes(),
                Err(error) => {
                    return relay_management::page(413, &Err(format!("the request cannot be read: {error}")));
                }
            };
            match self.operators.admit(&http_request, &body, now()) {
                Ok(call) => {
                    tracing::info!(call = ?call.call, "the relay is managed");
                    match self.relay.manage(call).await {
                        Ok(answer) => relay_management::answered(answer),
                        Err(stopped) => relay_management::page(200, &Err(stopped.to_string())),
                    }
                }
                Err(page) => page,
            }
        };
        tokio::time::timeout(MANAGEMENT_TIMEOUT, answer)
            .await
            .unwrap_or_else(|_| relay_management::page(503, &Err("this took too long".to_owned())))
    }

    async fn agent_page(&self, route: AgentRoute<'_>, http_request: &HttpRequest) -> HttpResponse {
        let pending = match self.routes.answer(route, http_request, now()) {
            RouteAnswer::Response(page) => return page,
            RouteAnswer::Ask(pending) => pending,
        };
        let asked = self.agent.query_state(pending.query.clone());
        let answer = match tokio::time::timeout(STATE_QUERY_TIMEOUT, asked).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the agent's database did not answer within {STATE_QUERY_TIMEOUT:?}")),
        };
        if let Err(error) = &answer {
            tracing::warn!(%error, url = http_request.url, "a page could not be made");
        }
        self.routes.respond(&pending, answer)
    }
}

fn written(page: HttpResponse) -> HyperResponse {
    let body = match page.body {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => text.into(),
    };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    for (name, value) in page.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}
