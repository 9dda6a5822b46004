//! Which Durable Object is which: the one place where an object's name and stub are made.

use ::worker::{Env, Result, Stub};

use crate::nostr::bytes::PublicKey;
use crate::nostr::keys::npub;

/// The binding of the relay's class.
const RELAY_BINDING: &str = "RELAY";

/// The binding of the agent's class.
const AGENT_BINDING: &str = "AGENT";

/// The name of the one relay object.
const MAIN_RELAY: &str = "main-relay";

/// The name of the agent of a deployment without `NOSTR_PRIVATE_KEY`, which makes a key of its own and keeps it.
const KEYLESS_AGENT: &str = "default";

/// An object of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectAddress {
    /// The relay.
    Relay,
    /// The agent with this key, or the one that has its own.
    Agent(Option<PublicKey>),
}

impl ObjectAddress {
    /// The stub by which the object is called.
    ///
    /// # Errors
    /// When the deployment has no such class.
    pub fn stub(self, env: &Env) -> Result<Stub> {
        let namespace = env.durable_object(self.binding())?;
        match self.location_hint() {
            Some(hint) => namespace.get_by_name_with_location_hint(&self.name(), hint),
            None => namespace.get_by_name(&self.name()),
        }
    }

    const fn binding(self) -> &'static str {
        match self {
            Self::Relay => RELAY_BINDING,
            Self::Agent(_) => AGENT_BINDING,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Relay => MAIN_RELAY.to_owned(),
            Self::Agent(None) => KEYLESS_AGENT.to_owned(),
            Self::Agent(Some(key)) => npub(&key),
        }
    }

    /// Where the runtime is asked to make the object; by itself, it does so near the first request.
    const fn location_hint(self) -> Option<&'static str> {
        match self {
            Self::Relay | Self::Agent(_) => None,
        }
    }
}
