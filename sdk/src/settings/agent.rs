//! The agent's variables: its key, its relays, its announcements.

use std::time::Duration;

use openagents_host::Keys;
use openagents_host::net::Reach;

use super::error::SettingError;
use super::names::{AGENT_ANNOUNCE, ALLOW_PRIVATE_ADDRESSES, NOSTR_PRIVATE_KEY, RELAY_VISIT_SECONDS};
use super::relay_urls::{own_relay_url, served_relays};
use super::variables::{VariableReader, keys, seconds};
use crate::author::agent::Jobs;
use crate::relay_address;

/// The agent's key, if a variable holds one.
pub(crate) fn agent_keys(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Keys>, SettingError> {
    keys(NOSTR_PRIVATE_KEY, &variable)
}

/// The deployment's settings for its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentSettings {
    /// The public URL of the agent's own relay.
    pub(crate) relay_url: Option<String>,
    /// The external relays that the agent serves.
    pub(crate) relays: Vec<String>,
    /// How often external relays are polled, on hosts without permanent connections.
    pub(crate) poll_every: Option<Duration>,
    /// Whether the agent may connect to private addresses.
    pub(crate) reach: Reach,
    /// Whether the agent announces itself. If not, earlier announcements are deleted.
    pub(crate) announces: bool,
}

impl AgentSettings {
    /// The external relays that the agent serves, normalized and without duplicates.
    pub(crate) fn external_relays(&self) -> Vec<String> {
        relay_address::served(&self.relays, self.relay_url.as_deref(), self.reach)
    }
}

/// Reads the agent's variables.
pub(crate) fn agent_settings<A: Jobs>(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<AgentSettings, SettingError> {
    let variables = VariableReader(&variable);
    let is_anywhere = variables.switch(ALLOW_PRIVATE_ADDRESSES, false)?;
    let reach = if is_anywhere { Reach::Anywhere } else { Reach::Public };
    let announces = variables.switch(AGENT_ANNOUNCE, true)?;
    let declared = || A::DECLARATION.relays.iter().map(|url| (*url).to_owned()).collect();
    let relays = served_relays(&variables, reach)?.unwrap_or_else(declared);
    let relay_url = own_relay_url(&variables)?;
    let poll_every = variables.text(RELAY_VISIT_SECONDS);
    let poll_every = poll_every.map(|text| seconds(RELAY_VISIT_SECONDS, &text)).transpose()?;
    Ok(AgentSettings { relay_url, relays, poll_every, reach, announces })
}
