//! The relay information document (NIP-11), from the variables and the deployment's declaration.

use openagents_host::nostr::keys::parse_public_key;
use openagents_relay::{RelayConfig, RelayInformation};

use super::error::SettingError;
use super::names::{
    RELAY_CONTACT, RELAY_DESCRIPTION, RELAY_ICON, RELAY_NAME, RELAY_PRIVATE_KEY, RELAY_PUBKEY, SUPPORTED_NIPS,
};
use super::variables::keys;
use crate::declaration::DeploymentDeclaration;

/// Makes the relay information document (NIP-11) from the variables and the deployment's declaration.
pub(super) fn relay_information(
    deployment: &DeploymentDeclaration,
    config: &RelayConfig,
    is_managed: bool,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<RelayInformation, SettingError> {
    let text = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let mut information = RelayInformation::new(config);
    information.name = Some(text(RELAY_NAME).unwrap_or_else(|| deployment.name.to_owned()));
    information.description = Some(text(RELAY_DESCRIPTION).unwrap_or_else(|| deployment.about.to_owned()));
    information.pubkey = text(RELAY_PUBKEY)
        .map(|value| {
            parse_public_key(&value).map_err(|error| SettingError::Key { name: RELAY_PUBKEY, error })
        })
        .transpose()?;
    information.contact = text(RELAY_CONTACT);
    information.icon = text(RELAY_ICON);
    information.own_pubkey = keys(RELAY_PRIVATE_KEY, variable)?.map(|keys| keys.public_key());
    if !deployment.agents.is_empty() {
        information.add_nips([90]);
    }
    if is_managed {
        information.add_nips([86]);
    }
    if let Some(list) = text(SUPPORTED_NIPS) {
        information.allow_nips(&list).map_err(|_| SettingError::Nips)?;
    }
    Ok(information)
}
