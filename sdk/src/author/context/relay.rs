//! `ExternalRelay`: publishing to and reading from relays other than the agent's own.

use openagents_host::VerifiedEvent;
use openagents_host::net::{AddressError, Reach, RelayLimits, public_url};
use openagents_relay::Filter;

use super::AgentContext;
use crate::engine::{Destination, EventToPublish, Publication};
use crate::error::JobError;
use crate::relay_address::relay_address;

/// How many events a run may publish on external relays.
const MAX_EXTERNAL_EVENTS: usize = 100;

impl AgentContext {
    /// A relay other than the agent's own.
    ///
    /// ```
    /// use openagents_sdk::nostr::{Filter, Kind, UnsignedEvent};
    /// use openagents_sdk::prelude::*;
    ///
    /// async fn digest(context: AgentContext) -> JobResult<()> {
    ///     let relay = context.relay("wss://relay.example.com")?;
    ///     let notes = relay.events([Filter::new().kinds([1]).limit(10)]).await?;
    ///     relay.publish(UnsignedEvent::new(Kind(1), format!("{} notes today", notes.len())))
    /// }
    /// ```
    ///
    /// # Errors
    /// A final error, when this is not the address of a relay that the agent may reach: `wss://` and a public host,
    /// unless the deployment allows others.
    pub fn relay(&self, url: &str) -> Result<ExternalRelay, JobError> {
        match relay_address(url, self.host().reach()) {
            Some(url) => Ok(ExternalRelay { context: self.clone(), url }),
            None => {
                let unreachable = |reach: Reach| public_url(url, &["wss", "ws"], reach).err();
                let too_long = AddressError::Form("it is too long".to_owned());
                let reason = unreachable(self.host().reach()).unwrap_or(too_long);
                Err(JobError::failed("the agent cannot use this relay").caused_by(reason))
            }
        }
    }
}

/// A relay other than the agent's own. See [`AgentContext::relay`].
#[derive(Clone, Debug)]
pub struct ExternalRelay {
    context: AgentContext,
    url: String,
}

impl ExternalRelay {
    /// The relay's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Publishes an event on this relay once the run has succeeded, signed with the agent's key unless it is signed already.
    /// It is sent until the relay accepts it; if the relay cannot be reached for a quarter of an hour, or refuses it for
    /// good, it is dropped.
    ///
    /// # Errors
    /// A final error, when this run has published 100 events on external relays.
    pub fn publish(&self, event: impl Into<EventToPublish>) -> Result<(), JobError> {
        let mut changes = self.context.changes();
        let external = changes.events.iter().filter(|publication| publication.to != Destination::Own).count();
        if external >= MAX_EXTERNAL_EVENTS {
            let reason = format!("a run may publish {MAX_EXTERNAL_EVENTS} events on external relays");
            return Err(JobError::failed("the agent failed to do this job").caused_by(TooManyEvents(reason)));
        }
        let to = Destination::Relay(self.url.clone());
        changes.events.push(Publication { event: event.into(), to });
        Ok(())
    }

    /// The events on this relay that match one of the filters: at most 500, within 10 seconds.
    ///
    /// # Errors
    /// A retryable error, when the relay cannot be reached or refuses the filters.
    pub async fn events(
        &self,
        filters: impl IntoIterator<Item = Filter>,
    ) -> Result<Vec<VerifiedEvent>, JobError> {
        let filters = filters.into_iter().collect();
        let found = self.context.host().external_events(&self.url, filters, RelayLimits::default()).await;
        found.map_err(|error| JobError::retry("the agent could not read a relay").caused_by(error))
    }
}

/// A run published too much.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct TooManyEvents(String);
