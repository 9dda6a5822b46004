//! Addresses of Durable Objects: the one place where their names and stubs are made.

use ::worker::{Env, Result, Stub};

use crate::nostr::bytes::PublicKey;
use crate::nostr::keys::npub;

/// The binding of the relay's Durable Object class.
const RELAY_BINDING: &str = "RELAY";

/// The binding of the agent's Durable Object class.
const AGENT_BINDING: &str = "AGENT";

/// The binding of the blob index's Durable Object class.
const BLOSSOM_BINDING: &str = "BLOSSOM";

/// The name of the one object with the index of blobs.
const MAIN_BLOSSOM: &str = "main-blossom";

/// The name of the one relay object.
const MAIN_RELAY: &str = "main-relay";

/// The name of the agent's object in a deployment without `NOSTR_PRIVATE_KEY`, which generates and keeps a key of its
/// own.
const KEYLESS_AGENT: &str = "default";

/// A Durable Object of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectAddress {
    /// The relay.
    Relay,
    /// The index of blobs.
    Blossom,
    /// The agent with this public key, or the agent without a configured key.
    Agent(Option<PublicKey>),
}

impl ObjectAddress {
    /// The stub with which to call the object.
    ///
    /// # Errors
    /// When the deployment has no such Durable Object class.
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
            Self::Blossom => BLOSSOM_BINDING,
            Self::Agent(_) => AGENT_BINDING,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Relay => MAIN_RELAY.to_owned(),
            Self::Blossom => MAIN_BLOSSOM.to_owned(),
            Self::Agent(None) => KEYLESS_AGENT.to_owned(),
            Self::Agent(Some(key)) => npub(&key),
        }
    }

    /// Where the runtime should create the object; by default it does so near the first request.
    const fn location_hint(self) -> Option<&'static str> {
        match self {
            Self::Relay | Self::Blossom | Self::Agent(_) => None,
        }
    }
}
