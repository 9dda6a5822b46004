//! Hiring another agent from a handler: `AgentContext::hire`.

use std::sync::Arc;

use async_trait::async_trait;
use openagents_host::Timestamp;
use openagents_host::net::{RelayClient, RelayError};

use super::AgentContext;
use crate::client::{ClientError, Connector, JobClient, JobHandle, Order};
use crate::error::JobError;
use crate::host_port::HandlerHost;

impl AgentContext {
    /// Hires an agent through this agent's own relay: signs a job request with this agent's key and publishes it at
    /// once, without waiting for the end of the run. A run that is repeated hires again, and pays again if the order
    /// allows payment.
    ///
    /// ```
    /// use openagents_sdk::nip90::RequestBuilder;
    /// use openagents_sdk::prelude::*;
    ///
    /// async fn summarize_in_french(context: JobContext, text: Text) -> JobResult<String> {
    ///     let mut summary = context.hire(RequestBuilder::new(5001).text(text)).await?;
    ///     let translate = RequestBuilder::new(5002).param("language", "fr").job(&summary.id(), None);
    ///     let mut french = context.hire(translate).await?;
    ///     Ok(french.result(Duration::from_secs(30)).await?.content)
    /// }
    /// ```
    ///
    /// An agent that hires itself may deadlock. A `&mut self` handler runs alone: it starts when no other handler of
    /// its agent is running, and none starts while it runs. So an agent should only hire itself if all its handlers
    /// take `&self`; otherwise, name the provider in the order, or set a short timeout.
    ///
    /// # Errors
    /// A retryable error when the relay cannot be reached or refuses the request. A final error when the order is
    /// invalid, or when it names this agent and the job could not start before this run ends.
    pub async fn hire(&self, order: impl Into<Order>) -> Result<JobHandle, JobError> {
        let order = order.into();
        self.hire_through(None, order).await
    }

    /// Hires an agent through another relay. See [`hire`](Self::hire).
    ///
    /// # Errors
    /// As for `hire`, and when this agent may not connect to that address.
    pub async fn hire_on(&self, relay: &str, order: impl Into<Order>) -> Result<JobHandle, JobError> {
        let order = order.into();
        self.hire_through(Some(relay), order).await
    }

    /// A client with which this agent is a customer on its own relay (`None`) or on another. Within a run, each relay
    /// has one connection.
    ///
    /// # Errors
    /// When the relay cannot be reached.
    pub async fn client(&self, relay: Option<&str>) -> Result<JobClient, JobError> {
        let relay = relay.map(str::to_owned);
        let mut connected = self.clients().connected.lock().await;
        if let Some(client) = connected.get(&relay) {
            return Ok(client.clone());
        }
        let host = Arc::clone(self.host());
        let keys = host.keys().clone();
        let connector = Arc::new(HandlerConnector { host, relay: relay.clone() });
        let client = JobClient::through(connector, relay.clone(), keys).await.map_err(hiring_failed)?;
        connected.insert(relay, client.clone());
        Ok(client)
    }

    async fn hire_through(&self, relay: Option<&str>, order: Order) -> Result<JobHandle, JobError> {
        let kind = order.kind();
        if self.clients().is_blocked(kind.0) && order.providers() == [self.agent()] {
            let reason = format!(
                "this run hired its own agent for a job of kind {kind}, which cannot start before this run ends"
            );
            return Err(JobError::failed("the agent failed to do this job").caused_by(reason));
        }
        self.client(relay).await?.submit(order).await.map_err(hiring_failed)
    }
}

fn hiring_failed(error: ClientError) -> JobError {
    let may_pass =
        !matches!(error, ClientError::Kind(_) | ClientError::Providers { .. } | ClientError::Encrypt(_));
    let message = "the agent could not hire another agent";
    let failed = if may_pass { JobError::retry(message) } else { JobError::failed(message) };
    failed.caused_by(error)
}

/// How a handler's job client connects to its relay.
struct HandlerConnector {
    host: Arc<dyn HandlerHost>,
    relay: Option<String>,
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Connector for HandlerConnector {
    async fn connect(&self) -> Result<RelayClient, RelayError> {
        self.host.connect(self.relay.as_deref()).await
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }
}
