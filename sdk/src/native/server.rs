//! The HTTP server: one port for the relay, its document, health and the manifest.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use openagents_relay::native::{RelayHandle, is_upgrade};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::door::{self, Door};
use crate::manifest::SignedManifest;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long open requests may take when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// What is served.
pub(super) struct ServerConfig {
    pub(super) relay: RelayHandle,
    pub(super) manifest: SignedManifest,
}

/// A running server.
pub(super) struct Server {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

struct Doors {
    relay: RelayHandle,
    manifest: Bytes,
    npub: String,
    public_key: String,
    welcome: Bytes,
    health: Bytes,
}

type Answer = Response<Full<Bytes>>;

impl Server {
    /// Serves whoever connects.
    pub(super) fn start(listener: TcpListener, config: ServerConfig) -> Self {
        let ServerConfig { relay, manifest: signed } = config;
        let manifest = signed.manifest();
        let doors = Arc::new(Doors {
            relay,
            npub: manifest.author.npub.clone(),
            public_key: manifest.id.to_hex(),
            welcome: door::welcome(manifest).into(),
            health: door::health(manifest).into(),
            manifest: signed.json().to_string().into(),
        });
        let (stop, stopped) = watch::channel(false);
        Self { stop, accepting: tokio::spawn(accept(listener, doors, stopped)) }
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

async fn accept(listener: TcpListener, doors: Arc<Doors>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&doors)));
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

async fn serve(stream: TcpStream, doors: Arc<Doors>) {
    // Without it, small frames wait 40 ms for an acknowledgement (Nagle's algorithm).
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let doors = Arc::clone(&doors);
        async move { Ok::<_, Infallible>(doors.answer(request)) }
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

impl Doors {
    fn answer(&self, mut request: Request<Incoming>) -> Answer {
        let accept = request
            .headers()
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let path = request.uri().path().to_owned();
        let method = request.method().as_str().to_owned();
        let mut answer = match door::door(&method, &path, &accept, is_upgrade(&request)) {
            Door::Relay => return self.relay.upgrade(&mut request),
            Door::RelayInformation => self.relay.information(),
            Door::Preflight => status(StatusCode::NO_CONTENT, ""),
            Door::Welcome => page(door::TEXT, self.welcome.clone()),
            Door::Health => page(door::JSON, self.health.clone()),
            Door::Manifest { npub } if npub == self.npub || npub == self.public_key => {
                page(door::JSON, self.manifest.clone())
            }
            Door::Manifest { .. } => status(StatusCode::NOT_FOUND, door::NO_SUCH_AGENT),
            Door::Nowhere => status(StatusCode::NOT_FOUND, door::NOWHERE),
            Door::WrongMethod => {
                let mut answer = status(StatusCode::METHOD_NOT_ALLOWED, door::WRONG_METHOD);
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
                answer
            }
        };
        for (name, value) in door::HEADERS {
            answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        answer
    }
}

fn page(content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn status(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = page(door::TEXT, Bytes::from_static(text.as_bytes()));
    *answer.status_mut() = status;
    answer
}
