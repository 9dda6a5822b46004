//! Hiring another agent from a handler: `AgentContext::hire`.

use std::sync::Arc;

use async_trait::async_trait;
use openagents_host::net::{RelayClient, RelayError};

use super::AgentContext;
use crate::client::{ClientError, Connector, JobClient, JobHandle, Order};
use crate::error::JobError;
use crate::host_port::HandlerHost;

impl AgentContext {
    /// Hires an agent through this agent's own relay: signs a request with this agent's key, and publishes it at once (not
    /// when the run has succeeded). A run that is repeated hires again, and pays again if it may.
    ///
    /// ```
    /// use std::time::Duration;
    /// use openagents_sdk::nostr::Kind;
    /// use openagents_sdk::nip90::RequestBuilder;
    /// use openagents_sdk::{JobContext, JobResult, Text};
    ///
    /// async fn summarize_in_french(context: JobContext, text: Text) -> JobResult<String> {
    ///     let mut summary = context.hire(RequestBuilder::new(Kind(5001)).text(text.into_string())).await?;
    ///     let translate = RequestBuilder::new(Kind(5002)).param("language", ["fr"]).job(&summary.id(), None);
    ///     let mut french = context.hire(translate).await?;
    ///     Ok(french.result(Duration::from_secs(30)).await?.content)
    /// }
    /// ```
    ///
    /// An agent that hires itself may wait for itself. A handler that takes `&mut self` runs alone: nothing else of its agent
    /// is worked on meanwhile, and it begins when nothing else is. So only an agent all of whose handlers take `&self`
    /// should hire itself, and any other should name whom it hires, or wait no longer than it wants to.
    ///
    /// # Errors
    /// When the relay cannot be reached or refuses the request; for good, when the request cannot be made as ordered, or
    /// it names this agent itself, which could not begin before this run ends.
    pub async fn hire(&self, order: impl Into<Order>) -> Result<JobHandle, JobError> {
        let order = order.into();
        self.hire_through(None, order).await
    }

    /// Hires an agent through another relay. See [`hire`](Self::hire).
    ///
    /// # Errors
    /// As with `hire`, and when this agent may not reach that address.
    pub async fn hire_on(&self, relay: &str, order: impl Into<Order>) -> Result<JobHandle, JobError> {
        let order = order.into();
        self.hire_through(Some(relay), order).await
    }

    /// This agent as a customer at its own relay, or at another. Asked twice in one run, it is the same connection.
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
            let reason = format!("this run hired its own agent for kind {kind}, and would wait for itself");
            return Err(JobError::failed("the agent failed to do this job").caused_by(reason));
        }
        self.client(relay).await?.submit(order).await.map_err(hiring_failed)
    }
}

fn hiring_failed(error: ClientError) -> JobError {
    let may_pass =
        !matches!(error, ClientError::Kind(_) | ClientError::Providers { .. } | ClientError::Encrypt(_));
    let message = "the agent could not hire another";
    let failed = if may_pass { JobError::retry(message) } else { JobError::failed(message) };
    failed.caused_by(error)
}

/// The way from an agent to a relay.
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
}
