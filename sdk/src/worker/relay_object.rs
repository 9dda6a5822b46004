//! The relay's Durable Object, which hands requests over to the agent's object.

use std::pin::Pin;
use std::sync::Arc;

use openagents_host::{VerifiedEvent, timeout};
use openagents_relay::worker::{HandoverError, HandoverSink, RelayHost, limits};
use openagents_relay::{RelayInformation, WritePolicy};
use worker::{Env, State};

use super::calls::take_request;
use super::{DELIVERY_TIMEOUT, variable};
use crate::declaration::DeploymentDeclaration;
use crate::settings::{self, RelaySettings};

/// The relay's object. It is not generic, so that its code is compiled once, in the relay's crate and with its optimisation.
pub type RelayObject = RelayHost;

/// What the runtime does when the relay's object is needed.
#[must_use]
pub fn relay_object(
    state: State,
    env: Env,
    deployment: &DeploymentDeclaration,
    policy: Option<Arc<dyn WritePolicy>>,
) -> RelayObject {
    // A variable that cannot be used is reported by the Worker, which then lets nobody get here but the agent.
    let settings = RelaySettings::read(deployment, &limits(), |name| variable(&env, name), policy);
    let (config, information) = match settings {
        Ok(settings) => (settings.config, settings.information),
        Err(_) => {
            let config = settings::relay_config(deployment, limits());
            let information = RelayInformation::new(&config);
            (config, information)
        }
    };
    RelayHost::new(state, env, config, information, Box::new(AgentObjectSink))
}

/// Gives the agent's object the requests that the relay stores, and the deletions that may be of one.
struct AgentObjectSink;

impl HandoverSink for AgentObjectSink {
    fn deliver<'a>(
        &'a self,
        env: &'a Env,
        event: &'a VerifiedEvent,
    ) -> Pin<Box<dyn Future<Output = Result<(), HandoverError>> + 'a>> {
        Box::pin(async move {
            match timeout(DELIVERY_TIMEOUT, take_request(env, event)).await {
                Some(delivered) => delivered?.map_err(HandoverError::NotRecorded),
                None => Err(HandoverError::Timeout { after: DELIVERY_TIMEOUT }),
            }
        })
    }
}
