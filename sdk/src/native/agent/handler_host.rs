//! The native `HandlerHost`: what running handlers can use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

use async_trait::async_trait;
use openagents_blossom::native::BlobServer;
use openagents_blossom::{BlobDescriptor, BlobError, BlobRecord, MediaType};
use openagents_host::http::Bytes;
use openagents_host::net::{AllowedOrigins, Reach, RelayClient, RelayError};
use openagents_host::{BlobHash, Event, Keys};
use openagents_relay::Filter;
use openagents_relay::native::RelayHandle;

use super::report_queue::ReportQueue;
use crate::audit::{AuditError, AuditStore};
use crate::declared_variables::DeclaredVariables;
use crate::engine::{Input, Lease, Report, StateQuery, StateReply};
use crate::error::JobError;
use crate::host_port::HandlerHost;
use crate::native::audit_folder::AuditFolder;
use crate::native::mailbox::AgentMailbox;
use crate::settings::AgentSettings;

pub(super) struct NativeHandlerHost {
    keys: Keys,
    reach: Reach,
    allowed_origins: AllowedOrigins,
    variables: DeclaredVariables,
    /// The address on which the agent's own relay listens.
    own_relay: SocketAddr,
    blobs: BlobServer,
    audit: AuditFolder,
    reports: ReportQueue,
    // Set after the agent has started.
    mailbox: OnceLock<AgentMailbox>,
    relay: OnceLock<RelayHandle>,
}

impl NativeHandlerHost {
    pub(super) fn new(
        keys: Keys,
        settings: &AgentSettings,
        own_relay: SocketAddr,
        blobs: BlobServer,
        audit: AuditFolder,
        reports: ReportQueue,
    ) -> Self {
        Self {
            keys,
            reach: settings.reach,
            allowed_origins: settings.allowed_origins.clone(),
            variables: settings.declared.clone(),
            own_relay,
            blobs,
            audit,
            reports,
            mailbox: OnceLock::new(),
            relay: OnceLock::new(),
        }
    }

    pub(super) fn ask_through(&self, mailbox: AgentMailbox) {
        let _ = self.mailbox.set(mailbox);
    }

    pub(super) fn read_from(&self, relay: RelayHandle) {
        let _ = self.relay.set(relay);
    }
}

#[async_trait]
impl HandlerHost for NativeHandlerHost {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn reach(&self) -> Reach {
        self.reach
    }

    fn allowed_origins(&self) -> AllowedOrigins {
        self.allowed_origins.clone()
    }

    fn variables(&self) -> &DeclaredVariables {
        &self.variables
    }

    fn report(&self, lease: Lease, report: Report) {
        self.reports.put(Input::Reported { lease, report });
    }

    async fn query_state(&self, query: StateQuery) -> Result<StateReply, JobError> {
        match self.mailbox.get() {
            Some(mailbox) => Ok(mailbox.query_state(query).await?),
            None => Err(starting()),
        }
    }

    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        match self.relay.get() {
            Some(relay) => Ok(relay.query(filters).await?),
            None => Err(starting()),
        }
    }

    fn audit_store(&self) -> Result<&dyn AuditStore, AuditError> {
        Ok(&self.audit)
    }

    async fn store_blob(&self, bytes: Bytes, media_type: MediaType) -> Result<BlobDescriptor, BlobError> {
        self.blobs.store(self.keys.public_key(), bytes, media_type).await
    }

    async fn find_blob(&self, hash: &BlobHash) -> Result<Option<BlobRecord>, BlobError> {
        self.blobs.find(hash).await
    }

    async fn read_blob(&self, hash: &BlobHash, max_bytes: usize) -> Result<Option<Bytes>, BlobError> {
        self.blobs.read(hash, max_bytes).await
    }

    async fn delete_blob(&self, hash: &BlobHash) -> Result<bool, BlobError> {
        self.blobs.delete(hash, self.keys.public_key()).await
    }

    async fn connect_to_own(&self) -> Result<RelayClient, RelayError> {
        let address = dialled(self.own_relay);
        RelayClient::connect(&format!("ws://{address}"), Reach::Anywhere, &self.keys).await
    }
}

/// The address to connect to if the server listens on all addresses of this machine.
fn dialled(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

fn starting() -> JobError {
    JobError::retry("the agent is still starting")
}

#[cfg(test)]
mod tests {
    use super::dialled;

    #[test]
    fn finds_a_relay_that_listens_everywhere() {
        for (listening, expected) in [
            ("0.0.0.0:8787", "127.0.0.1:8787"),
            ("[::]:8787", "[::1]:8787"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(dialled(listening.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
