//! `HandlerHost`: what a host provides to running handlers.

use async_trait::async_trait;
use openagents_host::net::{
    self, FetchError, FetchRequest, Fetched, Reach, RelayClient, RelayError, SocketError,
};
use openagents_host::{Event, Keys, VerifiedEvent};
use openagents_relay::Filter;

use crate::engine::{Lease, Report, StateQuery, StateReply};
use crate::error::JobError;
use crate::send::Shareable;

/// A handler's way out of its run. Each host has one.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait HandlerHost: Shareable {
    /// The agent's key.
    fn keys(&self) -> &Keys;

    /// Which addresses the agent may reach out to.
    fn reach(&self) -> Reach;

    /// Passes on what a handler says while it works. It may be dropped when more follows soon.
    fn report(&self, lease: Lease, report: Report);

    /// Asks the agent's database, through its engine.
    async fn query_state(&self, query: StateQuery) -> Result<StateReply, JobError>;

    /// Asks the agent's own relay.
    async fn events(&self, filters: Vec<Filter>) -> Result<Vec<Event>, JobError>;

    /// Makes a request, to an address that the agent may reach out to.
    async fn fetch(&self, mut request: FetchRequest) -> Result<Fetched, FetchError> {
        request.limits.reach = self.reach();
        net::fetch(request).await
    }

    /// Asks another relay that the agent may reach, on a connection of its own.
    async fn external_events(
        &self,
        relay: &str,
        filters: Vec<Filter>,
    ) -> Result<Vec<VerifiedEvent>, RelayError> {
        let mut relay = RelayClient::connect(relay, self.reach()).await?;
        let found = relay.query(&filters).await;
        relay.close().await;
        found
    }

    /// Connects to a relay that the agent may reach; without an address, to its own.
    async fn connect(&self, relay: Option<&str>) -> Result<RelayClient, RelayError> {
        match relay {
            Some(url) => RelayClient::connect(url, self.reach()).await,
            None => self.connect_to_own().await,
        }
    }

    /// Connects to the agent's own relay, as any client would.
    async fn connect_to_own(&self) -> Result<RelayClient, RelayError> {
        Err(SocketError::Network("this agent has no relay of its own".to_owned()).into())
    }
}
