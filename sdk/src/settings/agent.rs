//! The agent's variables: its key, its relays, its announcements.

use std::time::Duration;

use openagents_host::Keys;
use openagents_host::net::{AllowedOrigins, Reach};

use super::error::SettingError;
use super::names::{
    AGENT_ANNOUNCE, AGENT_HTTP_ALLOWED_ORIGINS, ALLOW_PRIVATE_ADDRESSES, NOSTR_PRIVATE_KEY,
    RELAY_VISIT_SECONDS,
};
use super::relay_urls::{own_relay_url, served_relays};
use super::variables::{VariableReader, keys, parts, seconds};
use super::wallet::WalletSettings;
use crate::author::agent::Jobs;
use crate::declaration::PaymentTiming;
use crate::declared_variables::DeclaredVariables;
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
    /// Servers that handlers may reach by HTTP although they are private or unencrypted.
    pub(crate) allowed_origins: AllowedOrigins,
    /// The wallet through which the agent is paid.
    pub(crate) wallet: WalletSettings,
    /// Whether the agent announces itself. If not, earlier announcements are deleted.
    pub(crate) announces: bool,
    /// The agent's own variables and secrets.
    pub(crate) declared: DeclaredVariables,
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
    let allowed_origins = allowed_origins(&variables)?;
    let announces = variables.switch(AGENT_ANNOUNCE, true)?;
    let declared = || A::DECLARATION.relays.iter().map(|url| (*url).to_owned()).collect();
    let relays = served_relays(&variables, reach)?.unwrap_or_else(declared);
    let relay_url = own_relay_url(&variables)?;
    let poll_every = variables.text(RELAY_VISIT_SECONDS);
    let poll_every = poll_every.map(|text| seconds(RELAY_VISIT_SECONDS, &text)).transpose()?;
    let wallet = WalletSettings::read(&variables)?;
    let mut jobs = A::HANDLERS.iter().map(|handler| &handler.declaration);
    wallet.check(jobs.find(|job| job.payment == PaymentTiming::Hold).map(|job| job.name))?;
    let declared = DeclaredVariables::read(&A::DECLARATION, &variable)?;
    Ok(AgentSettings { relay_url, relays, poll_every, reach, allowed_origins, wallet, announces, declared })
}

fn allowed_origins(variables: &VariableReader<'_>) -> Result<AllowedOrigins, SettingError> {
    let list = variables.text(AGENT_HTTP_ALLOWED_ORIGINS).unwrap_or_default();
    AllowedOrigins::parse(parts(&list))
        .map_err(|error| SettingError::Origins { name: AGENT_HTTP_ALLOWED_ORIGINS, error })
}

#[cfg(test)]
mod tests {
    use openagents_host::net::Url;

    use super::allowed_origins;
    use crate::settings::variables::VariableReader;

    #[test]
    fn private_servers_are_reached_only_if_the_operator_names_them() {
        let read = |list: &str| allowed_origins(&VariableReader(&|_| Some(list.to_owned())));
        let allowed = read("http://127.0.0.1:11434, https://models.lan").unwrap();
        for (url, expected) in
            [("http://127.0.0.1:11434/v1", true), ("https://models.lan/", true), ("http://127.0.0.1/", false)]
        {
            assert_eq!(allowed.contains(&Url::parse(url).unwrap()), expected, "{url}");
        }
        assert_eq!(read(""), Ok(Default::default()));
        for wrong in ["127.0.0.1:11434", "http://me:hunter2@models.lan", "http://models.lan/v1", "*"] {
            let error = read(wrong).unwrap_err();
            assert!(error.to_string().contains("AGENT_HTTP_ALLOWED_ORIGINS"), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(!error.public_message().contains("models"), "{error}");
        }
    }
}
