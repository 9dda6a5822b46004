//! `HandlerHost`: what a host provides to running handlers.

use async_trait::async_trait;
use openagents_blossom::{BlobDescriptor, BlobError, BlobRecord, MediaType};
use openagents_host::http::Bytes;
use openagents_host::net::{
    self, AllowedOrigins, HttpError, HttpRequest, HttpResponse, Reach, RelayClient, RelayError, RelayLimits,
    SocketError,
};
use openagents_host::{BlobHash, Event, Keys, Timestamp, VerifiedEvent};
use openagents_relay::Filter;

use crate::audit::{AuditError, AuditStore};
use crate::clock;
use crate::declared_variables::DeclaredVariables;
use crate::engine::{Lease, Report, StateQuery, StateReply};
use crate::error::JobError;
use crate::send::Shareable;

/// What a running handler can do outside its own code. Each host implements it.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait HandlerHost: Shareable {
    /// The agent's key.
    fn keys(&self) -> &Keys;

    /// The time.
    fn now(&self) -> Timestamp {
        clock::now()
    }

    /// Whether the agent may connect to private addresses.
    fn reach(&self) -> Reach;

    /// The servers that handlers may reach although they are private or unencrypted.
    fn allowed_origins(&self) -> AllowedOrigins {
        AllowedOrigins::default()
    }

    /// The agent's own variables and secrets.
    fn variables(&self) -> &DeclaredVariables {
        DeclaredVariables::none()
    }

    /// Passes on a handler's progress or partial output. It may be dropped if another follows soon.
    fn report(&self, lease: Lease, report: Report);

    /// Queries the agent's database, through its engine.
    async fn query_state(&self, query: StateQuery) -> Result<StateReply, JobError>;

    /// Reads events from the agent's own relay.
    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError>;

    /// Makes an HTTP request to an address that the agent may connect to.
    async fn send_http(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        request.limits.reach = self.reach();
        net::send(request).await
    }

    /// Reads events from an external relay, on a connection of its own.
    async fn external_events(
        &self,
        relay: &str,
        filters: Vec<Filter>,
        limits: RelayLimits,
    ) -> Result<Vec<VerifiedEvent>, RelayError> {
        let mut relay = RelayClient::connect_with(relay, self.reach(), self.keys(), limits).await?;
        let found = relay.query(&filters).await;
        relay.close().await;
        found
    }

    /// Stores a blob of the agent on its own blob server.
    async fn store_blob(&self, bytes: Bytes, media_type: MediaType) -> Result<BlobDescriptor, BlobError> {
        let _ = (bytes, media_type);
        Err(BlobError::no_server())
    }

    /// A blob on the agent's own blob server, without its bytes.
    async fn find_blob(&self, hash: &BlobHash) -> Result<Option<BlobRecord>, BlobError> {
        let _ = hash;
        Err(BlobError::no_server())
    }

    /// A blob on the agent's own blob server, of at most `max_bytes`.
    async fn read_blob(&self, hash: &BlobHash, max_bytes: usize) -> Result<Option<Bytes>, BlobError> {
        let _ = (hash, max_bytes);
        Err(BlobError::no_server())
    }

    /// Takes a blob from the agent.
    async fn delete_blob(&self, hash: &BlobHash) -> Result<bool, BlobError> {
        let _ = hash;
        Err(BlobError::no_server())
    }

    /// Where the records of the gateway's audit are stored.
    fn audit_store(&self) -> Result<&dyn AuditStore, AuditError> {
        Err(AuditError::NoBucket)
    }

    /// Connects to an external relay, or to the agent's own if `relay` is `None`.
    async fn connect(&self, relay: Option<&str>) -> Result<RelayClient, RelayError> {
        match relay {
            Some(url) => RelayClient::connect(url, self.reach(), self.keys()).await,
            None => self.connect_to_own().await,
        }
    }

    /// Connects to the agent's own relay, as any client would.
    async fn connect_to_own(&self) -> Result<RelayClient, RelayError> {
        Err(SocketError::Network("this agent has no relay of its own".to_owned()).into())
    }
}
