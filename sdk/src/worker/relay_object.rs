//! The relay's Durable Object, which hands job requests over to the agent's object, and requests to vanish also to that of
//! the blobs.

use std::pin::Pin;
use std::sync::Arc;

use openagents_host::{Kind, VerifiedEvent, timeout};
use openagents_relay::worker::{HandoverError, HandoverOutcomes, HandoverSink, RelayHost, limits};
use openagents_relay::{RelayInformation, WritePolicy};
use worker::{Env, State};

use super::blob_index_object;
use super::calls::take_requests;
use super::{DELIVERY_TIMEOUT, variable};
use crate::declaration::DeploymentDeclaration;
use crate::settings::{self, RelaySettings};

/// The relay's object. It is not generic, so it is compiled once, in the relay's crate and with that crate's
/// optimisation level.
pub type RelayObject = RelayHost;

/// The constructor of the relay's object.
#[must_use]
pub fn relay_object(
    state: State,
    env: Env,
    deployment: &DeploymentDeclaration,
    policy: Option<Arc<dyn WritePolicy>>,
) -> RelayObject {
    // The Worker reports an invalid variable, and then lets only the agent's object get here.
    let settings = RelaySettings::read(deployment, &limits(), |name| variable(&env, name), policy);
    let (config, information) = match settings {
        Ok(settings) => (settings.config, settings.information),
        Err(_) => {
            let config = settings::relay_config(deployment, limits());
            let information = RelayInformation::new(&config);
            (config, information)
        }
    };
    let sink = DeploymentObjectsSink { has_agent: !deployment.agents.is_empty() };
    RelayHost::new(state, env, config, information, Box::new(sink))
}

/// Hands over to the agent's object the job requests that the relay stores, and deletion requests that may cancel
/// one. Whoever vanishes (NIP-62) is forgotten by the agent, and their blobs are removed.
struct DeploymentObjectsSink {
    has_agent: bool,
}

impl HandoverSink for DeploymentObjectsSink {
    fn deliver<'a>(
        &'a self,
        env: &'a Env,
        events: &'a [VerifiedEvent],
    ) -> Pin<Box<dyn Future<Output = HandoverOutcomes> + 'a>> {
        Box::pin(async move {
            for event in events.iter().filter(|event| event.kind == Kind::VANISH) {
                blob_index_object::remove_owner(env, event.pubkey, event.created_at)
                    .await
                    .map_err(|error| HandoverError::NotRecorded(error.to_string()))?;
            }
            if !self.has_agent {
                return Ok(events.iter().map(|_| Ok(())).collect());
            }
            match timeout(DELIVERY_TIMEOUT, take_requests(env, events)).await {
                Some(taken) => {
                    Ok(taken?.into_iter().map(|taken| taken.map_err(HandoverError::NotRecorded)).collect())
                }
                None => Err(HandoverError::Timeout { after: DELIVERY_TIMEOUT }),
            }
        })
    }
}
