//! The `HandlerHost` of a test: what running handlers can use.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use openagents_blossom::{BlobDescriptor, BlobError, BlobRecord, MediaType};
use openagents_host::http::Bytes;
use openagents_host::net::{
    AllowedOrigins, HttpError, HttpRequest, HttpResponse, Reach, RelayClient, RelayError, RelayLimits,
    Socket, SocketError, public_url,
};
use openagents_host::{BlobHash, Event, Keys, SqlError, Timestamp, UnsignedEvent, VerifiedEvent};
use openagents_relay::{ConnectionId, Filter};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::blobs::TestBlobs;
use super::clock::Clock;
use super::relay::{RelayQueryError, TestConnection};
use super::web::Web;
use crate::declared_variables::DeclaredVariables;
use crate::engine::{Input, Lease, Report, StateQuery, StateReply};
use crate::error::JobError;
use crate::host_port::HandlerHost;

/// A request from a running handler to its test host.
pub(super) enum HostRequest {
    /// Pass an input to the engine.
    Tell(Input),
    /// Query the agent's database.
    Ask(StateQuery, oneshot::Sender<Result<StateReply, SqlError>>),
    /// Read events from the agent's own relay.
    Query(Vec<Filter>, oneshot::Sender<Result<Vec<Event>, RelayQueryError>>),
    /// Read events from an external relay.
    ExternalEvents(String, Vec<Filter>, oneshot::Sender<Vec<VerifiedEvent>>),
    /// Connect to an external relay, or to the agent's own.
    Connect(Option<String>, oneshot::Sender<TestConnection>),
    /// Pass a message to a relay.
    Message { relay: Option<String>, connection: ConnectionId, text: String },
    /// A connection has ended.
    Disconnect { relay: Option<String>, connection: ConnectionId },
    /// A provider says something.
    Provide { keys: Keys, event: UnsignedEvent, relay: Option<String> },
}

pub(super) struct TestHandlerHost {
    pub(super) keys: Keys,
    pub(super) variables: DeclaredVariables,
    pub(super) requests: mpsc::UnboundedSender<HostRequest>,
    pub(super) web: Arc<Web>,
    pub(super) blobs: TestBlobs,
    pub(super) clock: Clock,
}

/// How much may be on its way between a client and a relay, in bytes.
const DUPLEX_BYTES: usize = 1 << 16;

/// The address of the agent's own relay.
const OWN_RELAY: &str = "ws://127.0.0.1";

/// Carries messages between a client's WebSocket and a relay of the test.
async fn carry(
    client: DuplexStream,
    relay: Option<String>,
    mut connection: TestConnection,
    requests: mpsc::UnboundedSender<HostRequest>,
) {
    let mut socket = WebSocketStream::from_raw_socket(client, Role::Server, None).await;
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let (relay, text) = (relay.clone(), text.as_str().to_owned());
                    let _ = requests.send(HostRequest::Message { relay, connection: connection.id, text });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            Some(text) = connection.sent.recv() => {
                if socket.send(Message::text(text)).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = requests.send(HostRequest::Disconnect { relay, connection: connection.id });
}

/// The test has ended.
#[derive(Debug, thiserror::Error)]
#[error("the test is over")]
struct TestOver;

impl TestHandlerHost {
    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> HostRequest,
    ) -> Result<T, TestOver> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(request(answer));
        answered.await.map_err(|_| TestOver)
    }
}

#[async_trait]
impl HandlerHost for TestHandlerHost {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn reach(&self) -> Reach {
        Reach::Public
    }

    fn allowed_origins(&self) -> AllowedOrigins {
        self.web.allowed_origins.clone()
    }

    fn variables(&self) -> &DeclaredVariables {
        &self.variables
    }

    fn report(&self, lease: Lease, report: Report) {
        let _ = self.requests.send(HostRequest::Tell(Input::Reported { lease, report }));
    }

    async fn query_state(&self, query: StateQuery) -> Result<StateReply, JobError> {
        Ok(self.request(|answer| HostRequest::Ask(query, answer)).await??)
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        Ok(self.request(|answer| HostRequest::Query(filters, answer)).await??)
    }

    async fn store_blob(&self, bytes: Bytes, media_type: MediaType) -> Result<BlobDescriptor, BlobError> {
        Ok(self.blobs.store(bytes, media_type, self.now()))
    }

    async fn find_blob(&self, hash: &BlobHash) -> Result<Option<BlobRecord>, BlobError> {
        Ok(self.blobs.find(hash))
    }

    async fn read_blob(&self, hash: &BlobHash, _: usize) -> Result<Option<Bytes>, BlobError> {
        Ok(self.blobs.read(hash))
    }

    async fn delete_blob(&self, hash: &BlobHash) -> Result<bool, BlobError> {
        Ok(self.blobs.delete(hash))
    }

    async fn external_events(
        &self,
        relay: &str,
        filters: Vec<Filter>,
        _: RelayLimits,
    ) -> Result<Vec<VerifiedEvent>, RelayError> {
        let relay = relay.to_owned();
        let asked = self.request(|answer| HostRequest::ExternalEvents(relay, filters, answer)).await;
        asked.map_err(|TestOver| RelayError::Disconnected)
    }

    async fn connect(&self, relay: Option<&str>) -> Result<RelayClient, RelayError> {
        let relay = match relay {
            Some(url) => {
                public_url(url, &["wss", "ws"], self.reach()).map_err(SocketError::from)?;
                Some(url.trim_end_matches('/').to_owned())
            }
            None => None,
        };
        let asked = self.request(|answer| HostRequest::Connect(relay.clone(), answer)).await;
        let connection = asked.map_err(|TestOver| RelayError::Disconnected)?;
        let (near, far) = tokio::io::duplex(DUPLEX_BYTES);
        tokio::spawn(carry(far, relay.clone(), connection, self.requests.clone()));
        let client = RelayClient::over(Socket::over(near).await, RelayLimits::default());
        Ok(client.authenticating(relay.as_deref().unwrap_or(OWN_RELAY), &self.keys))
    }

    async fn send_http(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.web.send(request).await
    }
}
