//! The variables of a deployment. They have the same names on both hosts: a Worker's `[vars]` and secrets there, the
//! environment or a `.dev.vars` file natively.

mod relay;

use std::collections::BTreeSet;
use std::time::Duration;

use openagents_host::keys::{KeyError, parse_public_key};
use openagents_host::outgoing::{Reach, public_url};
use openagents_host::{Keys, Kind, PublicKey};
use openagents_relay::RetentionError;
use openagents_relay::{HandoverRule, Limits, RelayConfig, RelayInformation};

pub(crate) use relay::RelaySettings;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use relay::{retention_rules, trusted_proxies};

use crate::agent::Jobs;
use crate::discovery::Profile;
use crate::door::AgentDoors;
use crate::engine::Options;
use crate::manifest::AgentManifest;
use crate::nip90;
use crate::outside;

/// The agent's secret key (`nsec1…` or hex).
pub(crate) const NOSTR_PRIVATE_KEY: &str = "NOSTR_PRIVATE_KEY";

/// The relay's own secret key, of which only the public one is shown.
const RELAY_PRIVATE_KEY: &str = "RELAY_PRIVATE_KEY";
const RELAY_NAME: &str = "RELAY_NAME";
const RELAY_DESCRIPTION: &str = "RELAY_DESCRIPTION";
const RELAY_PUBKEY: &str = "RELAY_PUBKEY";
const RELAY_CONTACT: &str = "RELAY_CONTACT";
const RELAY_ICON: &str = "RELAY_ICON";
const SUPPORTED_NIPS: &str = "SUPPORTED_NIPS";
/// The public address of the agent's own relay, for those who are told where to find it.
pub(crate) const RELAY_URL: &str = "RELAY_URL";
/// The outside relays that the agent serves, separated by commas, in place of those that it declares.
const AGENT_RELAYS: &str = "AGENT_RELAYS";
/// How often a Worker looks for requests on outside relays while some come from there, in seconds.
const RELAY_VISIT_SECONDS: &str = "RELAY_VISIT_SECONDS";
/// Whether the agent announces itself.
const AGENT_ANNOUNCE: &str = "AGENT_ANNOUNCE";
/// The public keys, separated by commas, that may read what is on record, beside the agent's own, and manage the relay.
const ADMIN_PUBKEYS: &str = "ADMIN_PUBKEYS";
/// Whether the agent may reach out to addresses that are not public.
const ALLOW_PRIVATE_ADDRESSES: &str = "ALLOW_PRIVATE_ADDRESSES";

/// A variable whose value cannot be used. The value is not repeated: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingError {
    /// It should hold a key.
    #[error("the variable {name} holds no key: {error}")]
    Key {
        /// Which variable.
        name: &'static str,
        /// What is wrong with its value.
        error: KeyError,
    },
    /// It should say yes or no.
    #[error("the variable {name} must be true or false")]
    Switch {
        /// Which variable.
        name: &'static str,
    },
    /// It should hold the address of a relay.
    #[error("the variable {name} holds `{url}`, which is no relay's address: {error}")]
    Relay {
        /// Which variable.
        name: &'static str,
        /// What it holds.
        url: String,
        /// What is wrong with it.
        error: String,
    },
    /// It should hold a number of seconds.
    #[error("the variable {name} must be a whole number of seconds, 1 or more")]
    Seconds {
        /// Which variable.
        name: &'static str,
    },
    /// It should say how long events are kept.
    #[error("the variable {name} cannot be used: {error}")]
    Retention {
        /// Which variable.
        name: &'static str,
        /// What is wrong with its value.
        error: RetentionError,
    },
    /// It should hold something else.
    #[error("the variable {name} must be {expected}")]
    Form {
        /// Which variable.
        name: &'static str,
        /// What it should hold.
        expected: String,
    },
    /// It should hold NIP numbers.
    #[error("the variable {SUPPORTED_NIPS} must be a list of numbers such as [1,11,90]")]
    Nips,
}

/// The agent's key, if the variables give one.
pub(crate) fn agent_keys(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Keys>, SettingError> {
    keys(NOSTR_PRIVATE_KEY, &variable)
}

fn keys(
    name: &'static str,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Keys>, SettingError> {
    let value = variable(name).filter(|value| !value.trim().is_empty());
    value.map(|value| value.parse().map_err(|error| SettingError::Key { name, error })).transpose()
}

/// What the relay of an agent is like.
pub(crate) fn relay_config<A: Jobs>(limits: Limits) -> RelayConfig {
    let handover = handover(A::HANDLERS.iter().map(|job| job.declaration.kind));
    RelayConfig { limits, handover, ..RelayConfig::default() }
}

/// The agent gets the requests that it can do, and every deletion that may take a request back.
fn handover(kinds: impl IntoIterator<Item = u16>) -> HandoverRule {
    HandoverRule { kinds: kinds.into_iter().map(Kind).collect(), deletions_of: Some(nip90::REQUESTS) }
}

/// What a deployment decides about its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentSettings {
    /// The public address of the agent's own relay.
    pub(crate) relay_url: Option<String>,
    /// The outside relays that the agent serves too.
    pub(crate) relays: Vec<String>,
    /// How often they are visited, where they are not listened to all the time.
    pub(crate) visit_every: Option<Duration>,
    /// Which addresses the agent may reach out to.
    pub(crate) reach: Reach,
    /// Whether the agent announces itself; if not, it takes back what it announced before.
    pub(crate) announces: bool,
    /// Who may read what is on record, beside the agent itself.
    pub(crate) operators: Vec<PublicKey>,
}

impl AgentSettings {
    /// What is said about an agent with this key.
    pub(crate) fn profile<A: Jobs>(&self, key: PublicKey) -> Profile {
        let mut profile = Profile::of::<A>(key);
        if let Some(url) = &self.relay_url {
            profile = profile.at_relay(url);
        }
        if self.reach == Reach::Anywhere {
            profile = profile.with_insecure_relays();
        }
        profile.serving(&self.relays)
    }

    /// The outside relays that the agent serves, each once, in the form in which addresses are compared.
    pub(crate) fn outside_relays(&self) -> Vec<String> {
        outside::served(&self.relays, self.relay_url.as_deref(), self.reach)
    }

    /// What the engine needs to know of the deployment.
    pub(crate) fn options(&self, profile: &Profile, wallet: bool) -> Options {
        Options {
            wallet,
            relay_url: self.relay_url.clone(),
            reach: self.reach,
            // For the shell to say.
            visits: Vec::new(),
            visit_every: self.visit_every,
            relays: self.relays.clone(),
            announcements: if self.announces { profile.announcements() } else { Vec::new() },
        }
    }
}

/// What the agent answers over HTTP. What its operators sign has to name one of these hosts, if there are any.
pub(crate) fn doors<A: Jobs>(settings: &AgentSettings, keys: &Keys, hosts: BTreeSet<String>) -> AgentDoors {
    let key = keys.public_key();
    let profile = settings.profile::<A>(key);
    let manifest = AgentManifest::of::<A>(&key).at_relays(profile.relays()).signed(keys);
    // What cannot be written as JSON is found when the agent starts.
    let default_state = serde_json::to_string(&A::default()).unwrap_or_default();
    AgentDoors::new(manifest, profile, &settings.operators, hosts, default_state)
}

/// What the variables decide about the agent.
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
        // `none` turns off those that the agent declares.
        Some(list) if list == "none" => Vec::new(),
        Some(list) => {
            let urls = list.split([',', ' ']).filter(|url| !url.is_empty());
            urls.map(|url| relay(AGENT_RELAYS, url)).collect::<Result<_, _>>()?
        }
        None => A::DECLARATION.relays.iter().map(|url| (*url).to_owned()).collect(),
    };
    // A deployment may itself be reached by others only.
    let relay_url = text(RELAY_URL);
    if let Some(url) =
        relay_url.as_ref().filter(|url| !url.starts_with("ws://") && !url.starts_with("wss://"))
    {
        let error = "it begins with wss:// (or ws://)".to_owned();
        return Err(SettingError::Relay { name: RELAY_URL, url: url.clone(), error });
    }
    let operators = text(ADMIN_PUBKEYS).unwrap_or_default();
    let operators = operators
        .split([',', ' '])
        .filter(|key| !key.is_empty())
        .map(|key| parse_public_key(key).map_err(|error| SettingError::Key { name: ADMIN_PUBKEYS, error }))
        .collect::<Result<_, _>>()?;
    let visit_every =
        text(RELAY_VISIT_SECONDS).map(|text| seconds(RELAY_VISIT_SECONDS, &text)).transpose()?;
    Ok(AgentSettings { relay_url, relays, visit_every, reach, announces, operators })
}

fn switch(name: &'static str, text: Option<&str>, usual: bool) -> Result<bool, SettingError> {
    match text {
        None => Ok(usual),
        Some("true" | "1" | "yes") => Ok(true),
        Some("false" | "0" | "no") => Ok(false),
        Some(_) => Err(SettingError::Switch { name }),
    }
}

fn seconds(name: &'static str, text: &str) -> Result<Duration, SettingError> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds.into())),
        Ok(0) | Err(_) => Err(SettingError::Seconds { name }),
    }
}

/// What the relay says about itself (NIP-11), from the variables and the agent that runs beside it.
fn relay_information<A: Jobs>(
    config: &RelayConfig,
    is_managed: bool,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<RelayInformation, SettingError> {
    let text = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let mut information = RelayInformation::new(config);
    information.name = Some(text(RELAY_NAME).unwrap_or_else(|| A::DECLARATION.name.to_owned()));
    information.description =
        Some(text(RELAY_DESCRIPTION).unwrap_or_else(|| A::DECLARATION.about.to_owned()));
    information.pubkey = text(RELAY_PUBKEY)
        .map(|value| {
            parse_public_key(&value).map_err(|error| SettingError::Key { name: RELAY_PUBKEY, error })
        })
        .transpose()?;
    information.contact = text(RELAY_CONTACT);
    information.icon = text(RELAY_ICON);
    information.own_pubkey = keys(RELAY_PRIVATE_KEY, variable)?.map(|keys| keys.public_key());
    information.add_nips([90]);
    if is_managed {
        information.add_nips([86]);
    }
    if let Some(list) = text(SUPPORTED_NIPS) {
        information.allow_nips(&list).map_err(|_| SettingError::Nips)?;
    }
    Ok(information)
}

#[cfg(test)]
mod tests {
    use openagents_host::{Keys, Kind, Timestamp, UnsignedEvent};

    use super::{RELAY_VISIT_SECONDS, SettingError, handover, seconds};

    #[test]
    fn a_time_is_a_whole_number_of_seconds_and_not_none() {
        assert_eq!(seconds(RELAY_VISIT_SECONDS, "90").unwrap().as_secs(), 90);
        for wrong in ["0", "-1", "1.5", "1m", "", "99999999999"] {
            let error = SettingError::Seconds { name: RELAY_VISIT_SECONDS };
            assert_eq!(seconds(RELAY_VISIT_SECONDS, wrong), Err(error), "{wrong}");
        }
    }

    #[test]
    fn the_agent_gets_its_requests_and_the_deletions_that_may_be_of_one() {
        let handover = handover([5050]);
        let keys = Keys::from_secret(&[1; 32]).unwrap();
        let id = "ab".repeat(32);
        for (kind, tag, wanted) in [
            (5050, ["t", "a"], true),
            (5051, ["t", "a"], false),
            (6050, ["e", &id], false),
            (5, ["e", &id], true),
            (5, ["k", "5050"], false),
        ] {
            let event = UnsignedEvent::new(Kind(kind), "").tag(tag).sign(&keys, Timestamp::from_seconds(1));
            assert_eq!(handover.wants(&event), wanted, "{kind} {tag:?}");
        }
    }
}
