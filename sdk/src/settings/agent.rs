//! The agent's variables: its key, its relays, its announcements.

use std::time::Duration;

use openagents_host::Keys;
use openagents_host::net::{Reach, public_url};

use super::error::SettingError;
use super::names::{
    AGENT_ANNOUNCE, AGENT_RELAYS, ALLOW_PRIVATE_ADDRESSES, NOSTR_PRIVATE_KEY, RELAY_URL, RELAY_VISIT_SECONDS,
};
use super::variables::{keys, seconds, switch};
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
    let text =
        |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let switch = |name: &'static str, usual: bool| switch(name, text(name).as_deref(), usual);
    let reach = if switch(ALLOW_PRIVATE_ADDRESSES, false)? { Reach::Anywhere } else { Reach::Public };
    let announces = switch(AGENT_ANNOUNCE, true)?;
    let relay = |name: &'static str, url: &str| {
        let checked = public_url(url, &["wss", "ws"], reach);
        checked.map(|_| url.to_owned()).map_err(|error| SettingError::Relay {
            name,
            url: url.to_owned(),
            error: error.to_string(),
        })
    };
    let relays = match text(AGENT_RELAYS) {
        // `none` turns off the relays that the agent declares.
        Some(list) if list == "none" => Vec::new(),
        Some(list) => {
            let urls = list.split([',', ' ']).filter(|url| !url.is_empty());
            urls.map(|url| relay(AGENT_RELAYS, url)).collect::<Result<_, _>>()?
        }
        None => A::DECLARATION.relays.iter().map(|url| (*url).to_owned()).collect(),
    };
    // The deployment itself may have a private address.
    let relay_url = text(RELAY_URL);
    if let Some(url) =
        relay_url.as_ref().filter(|url| !url.starts_with("ws://") && !url.starts_with("wss://"))
    {
        let error = "it must begin with wss:// (or ws://)".to_owned();
        return Err(SettingError::Relay { name: RELAY_URL, url: url.clone(), error });
    }
    let poll_every = text(RELAY_VISIT_SECONDS).map(|text| seconds(RELAY_VISIT_SECONDS, &text)).transpose()?;
    Ok(AgentSettings { relay_url, relays, poll_every, reach, announces })
}
