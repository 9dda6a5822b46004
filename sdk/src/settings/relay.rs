//! The relay's variables: access, limits, retention.

use std::collections::BTreeSet;
use std::sync::Arc;

use openagents_host::Kind;
use openagents_relay::admission::access::host_of;
use openagents_relay::admission::{ConnectionLimits, Network, RateLimits};
use openagents_relay::{
    Access, AddressedEvents, HandoverRule, Limits, RelayConfig, RelayInformation, RetentionRules, WritePolicy,
};

use super::agent::agent_keys;
use super::error::SettingError;
use super::names::*;
use super::operators::Operators;
use super::relay_information::relay_information;
use super::relay_urls::own_relay_url;
use super::variables::{VariableReader, contradiction, form};
use crate::declaration::DeploymentDeclaration;
use crate::nip90;

/// The deployment's settings for its relay.
#[derive(Clone, Debug)]
pub(crate) struct RelaySettings {
    pub(crate) config: RelayConfig,
    pub(crate) information: RelayInformation,
    /// Its public URL (`RELAY_URL`).
    pub(crate) url: Option<String>,
    /// The keys that may manage it (NIP-86).
    pub(crate) operators: Operators,
}

impl RelaySettings {
    /// Reads the relay's variables over the host's default limits, and adds the deployment's policy.
    pub(crate) fn read(
        deployment: &DeploymentDeclaration,
        usual: &Limits,
        variable: impl Fn(&str) -> Option<String>,
        policy: Option<Arc<dyn WritePolicy>>,
    ) -> Result<Self, SettingError> {
        let variables = VariableReader(&variable);
        let mut config = relay_config(deployment, limits(&variables, usual)?);
        config.access = access(&variables)?;
        config.handover.addressed.to = agent_keys(&variable)?.map(|keys| keys.public_key());
        config.admission.lists.allowed_pubkeys = variables.keys(RELAY_ALLOWED_PUBKEYS)?;
        config.admission.lists.blocked_pubkeys = variables.keys(RELAY_BLOCKED_PUBKEYS)?;
        config.admission.lists.allowed_kinds = variables.kinds(RELAY_ALLOWED_KINDS)?;
        config.admission.lists.blocked_kinds = variables.kinds(RELAY_BLOCKED_KINDS)?;
        let blocked = variables.addresses(RELAY_BLOCKED_ADDRESSES)?;
        config.admission.lists.blocked_addresses = blocked.into_iter().map(Network::of).collect();
        config.admission.rates = rates(&variables)?;
        config.admission.connections = connections(&variables)?;
        config.admission.policy = policy;
        config.retention = retention(&variables)?;
        check_for_contradictions(&variables, &config)?;
        let operators = Operators::read(&variable)?;
        let information = relay_information(deployment, &config, !operators.is_empty(), &variable)?;
        config.access.challenges_at_once = information.lists(42);
        Ok(Self { config, information, url: own_relay_url(&variables)?, operators })
    }
}

/// Finds pairs of variables that cannot both be meant.
fn check_for_contradictions(
    variables: &VariableReader<'_>,
    config: &RelayConfig,
) -> Result<(), SettingError> {
    let lists = &config.admission.lists;
    if let Some(key) = lists.allowed_pubkeys.intersection(&lists.blocked_pubkeys).next() {
        let fix = format!("{key} is in both; take it out of one");
        return Err(contradiction(RELAY_ALLOWED_PUBKEYS, RELAY_BLOCKED_PUBKEYS, fix));
    }
    // Some kinds of an allowed range may be blocked.
    if !lists.allowed_kinds.is_empty() && lists.allowed_kinds.is_subset(&lists.blocked_kinds) {
        let fix = "every allowed kind is blocked; allow another or block fewer".to_owned();
        return Err(contradiction(RELAY_ALLOWED_KINDS, RELAY_BLOCKED_KINDS, fix));
    }
    let are_set = |one, other| variables.text(one).is_some() && variables.text(other).is_some();
    let connections = &config.admission.connections;
    if are_set(RELAY_MAX_CONNECTIONS_PER_ADDRESS, RELAY_MAX_CONNECTIONS)
        && connections.max_connections_per_address > connections.max_connections
    {
        let fix = "one address cannot have more connections than all together".to_owned();
        return Err(contradiction(RELAY_MAX_CONNECTIONS_PER_ADDRESS, RELAY_MAX_CONNECTIONS, fix));
    }
    if are_set(RELAY_MAX_CONTENT_LENGTH, RELAY_MAX_MESSAGE_LENGTH)
        && config.limits.max_content_length > config.limits.max_message_length
    {
        let fix = "a content cannot be longer than the message with it".to_owned();
        return Err(contradiction(RELAY_MAX_CONTENT_LENGTH, RELAY_MAX_MESSAGE_LENGTH, fix));
    }
    Ok(())
}

/// The configuration of a deployment's relay.
pub(crate) fn relay_config(deployment: &DeploymentDeclaration, limits: Limits) -> RelayConfig {
    RelayConfig { limits, handover: handover(deployment), ..RelayConfig::default() }
}

/// Agents are handed job requests of their kinds, deletion requests that may cancel one, and events that mention them. Requests to vanish concern agents
/// and the blob server.
pub(super) fn handover(deployment: &DeploymentDeclaration) -> HandoverRule {
    let kinds = deployment.agents.iter().flat_map(|agent| &agent.job_kinds).copied().map(Kind);
    let kinds = kinds.chain([Kind::VANISH]).collect();
    let mentions = deployment.agents.iter().flat_map(|agent| &agent.mention_kinds).copied().map(Kind);
    HandoverRule {
        kinds,
        deletions_of: (!deployment.agents.is_empty()).then_some(nip90::REQUESTS),
        // The key is set where it is known.
        addressed: AddressedEvents { kinds: mentions.collect(), to: None },
    }
}

/// How long events of some kinds are kept, for commands that work on the database without a relay.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn retention_rules(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<RetentionRules, SettingError> {
    retention(&VariableReader(&variable))
}

/// The proxies whose client address header is trusted.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn trusted_proxies(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<BTreeSet<std::net::IpAddr>, SettingError> {
    Ok(VariableReader(&variable).addresses(RELAY_TRUSTED_PROXIES)?.into_iter().collect())
}

/// How many requests clients may make, for the routes of an agent.
#[cfg(target_arch = "wasm32")]
pub(crate) fn rate_limits(variable: impl Fn(&str) -> Option<String>) -> Result<RateLimits, SettingError> {
    rates(&VariableReader(&variable))
}

fn access(variables: &VariableReader<'_>) -> Result<Access, SettingError> {
    let usual = Access::default();
    let (auth_to_read, auth_to_write) = match variables.text(RELAY_AUTH).as_deref() {
        None | Some("none") => (false, false),
        Some("write") => (false, true),
        Some("read") => (true, false),
        Some("all") => (true, true),
        Some(_) => return Err(form(RELAY_AUTH, "none, write, read or all")),
    };
    let private_kinds = match variables.text(RELAY_PRIVATE_KINDS).as_deref() {
        None => usual.private_kinds,
        Some("none") => BTreeSet::new().into_iter().collect(),
        Some(_) => variables.kinds(RELAY_PRIVATE_KINDS)?.into_iter().collect(),
    };
    let hosts = own_relay_url(variables)?.as_deref().and_then(host_of).into_iter().collect();
    Ok(Access { hosts, auth_to_read, auth_to_write, private_kinds, ..Access::default() })
}

fn limits(variables: &VariableReader<'_>, usual: &Limits) -> Result<Limits, SettingError> {
    // An event must fit into a database row, which may have 2 MB in a Durable Object.
    let max_message_length =
        variables.number(RELAY_MAX_MESSAGE_LENGTH, usual.max_message_length, 1_024..=1_048_576)?;
    let max_limit = variables.number(RELAY_MAX_LIMIT, usual.max_limit, 1..=5_000)?;
    Ok(Limits {
        max_message_length,
        max_content_length: variables.number(
            RELAY_MAX_CONTENT_LENGTH,
            usual.max_content_length,
            0..=1_048_576,
        )?,
        max_event_tags: variables.number(RELAY_MAX_EVENT_TAGS, usual.max_event_tags, 0..=10_000)?,
        max_subscriptions: variables.number(RELAY_MAX_SUBSCRIPTIONS, usual.max_subscriptions, 1..=1_000)?,
        max_filters: variables.number(RELAY_MAX_FILTERS, usual.max_filters, 1..=100)?,
        max_limit,
        default_limit: usual.default_limit.min(max_limit),
        min_pow_difficulty: variables.number(RELAY_MIN_POW, usual.min_pow_difficulty, 0..=64)?,
        created_at_lower_limit: match variables.text(RELAY_CREATED_AT_PAST) {
            None => usual.created_at_lower_limit,
            Some(_) => Some(variables.number(RELAY_CREATED_AT_PAST, 0, 0..=u64::from(u32::MAX))?),
        },
        created_at_upper_limit: variables.number(
            RELAY_CREATED_AT_FUTURE,
            usual.created_at_upper_limit,
            0..=u64::from(u32::MAX),
        )?,
        ..usual.clone()
    })
}

fn retention(variables: &VariableReader<'_>) -> Result<RetentionRules, SettingError> {
    let rules = variables.text(RELAY_RETENTION).unwrap_or_default().parse();
    rules.map_err(|error| SettingError::Retention { name: RELAY_RETENTION, error })
}

fn rates(variables: &VariableReader<'_>) -> Result<RateLimits, SettingError> {
    let usual = RateLimits::default();
    let rate = |name, usual| variables.number(name, usual, 0..=1_000_000);
    Ok(RateLimits {
        events_per_minute: rate(RELAY_MAX_EVENTS_PER_MINUTE, usual.events_per_minute)?,
        requests_per_minute: rate(RELAY_MAX_REQUESTS_PER_MINUTE, usual.requests_per_minute)?,
        look_ups_per_minute: variables.number(
            RELAY_MAX_LOOK_UPS_PER_MINUTE,
            usual.look_ups_per_minute,
            0..=1_000_000_000,
        )?,
        auths_per_minute: rate(RELAY_MAX_AUTHS_PER_MINUTE, usual.auths_per_minute)?,
        limits_loopback: variables.switch(RELAY_LIMIT_LOOPBACK, usual.limits_loopback)?,
    })
}

fn connections(variables: &VariableReader<'_>) -> Result<ConnectionLimits, SettingError> {
    let usual = ConnectionLimits::default();
    // A Durable Object can have at most 32,768 sockets.
    let number = |name, usual| variables.number(name, usual, 1..=30_000);
    Ok(ConnectionLimits {
        max_connections: number(RELAY_MAX_CONNECTIONS, usual.max_connections)?,
        max_connections_per_address: number(
            RELAY_MAX_CONNECTIONS_PER_ADDRESS,
            usual.max_connections_per_address,
        )?,
        limits_loopback: variables.switch(RELAY_LIMIT_LOOPBACK, usual.limits_loopback)?,
    })
}

#[cfg(test)]
mod tests {
    use openagents_host::Kind;
    use openagents_host::nostr::keys::npub;
    use openagents_relay::admission::Network;
    use openagents_relay::{Access, Limits, RetentionRules};

    use super::{VariableReader, access, connections, rates, retention};
    use crate::settings::SettingError;

    fn limits(variables: &VariableReader<'_>) -> Result<Limits, SettingError> {
        super::limits(variables, &Limits::default())
    }

    fn read<T>(
        variables: &[(&str, &str)],
        setting: impl Fn(&VariableReader<'_>) -> Result<T, SettingError>,
    ) -> Result<T, String> {
        let variable = |name: &str| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        };
        setting(&VariableReader(&variable)).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_leaves_all_as_it_is() {
        assert_eq!(read(&[("RELAY_AUTH", " ")], access), Ok(Access::default()));
        assert_eq!(read(&[], limits), Ok(Limits::default()));
        assert_eq!(read(&[], rates), Ok(Default::default()));
        assert_eq!(read(&[], connections), Ok(Default::default()));
        assert_eq!(read(&[("RELAY_RETENTION", " ")], retention), Ok(RetentionRules::none()));
    }

    #[test]
    fn says_who_has_to_identify_themselves_for_what() {
        for (value, expected) in [
            ("none", (false, false)),
            ("read", (true, false)),
            ("write", (false, true)),
            ("all", (true, true)),
        ] {
            let access = read(&[("RELAY_AUTH", value)], access).unwrap();
            assert_eq!((access.auth_to_read, access.auth_to_write), expected, "{value}");
        }
        let error = read(&[("RELAY_AUTH", "true")], access).unwrap_err();
        assert_eq!(error, "the variable RELAY_AUTH must be none, write, read or all");
        let private = |value| read(&[("RELAY_PRIVATE_KINDS", value)], access).unwrap().private_kinds;
        assert!(private("none").is_empty());
        assert!(private("14, 1059-1060").contains(&Kind(1_060)) && !private("14").contains(&Kind(4)));
        let own = read(&[("RELAY_URL", "wss://Relay.example.com/x")], access).unwrap().hosts;
        assert!(own.contains("relay.example.com"));
        // Without a host, the relay would accept any.
        for wrong in ["wss://", "relay.example.com", "wss://me:pass@relay.example.com", "ftp://x.example"] {
            let error = read(&[("RELAY_URL", wrong)], access).unwrap_err();
            assert!(error.starts_with("the variable RELAY_URL is not a relay URL"), "{error}");
        }
    }

    #[test]
    fn numbers_have_bounds_that_are_named() {
        let set = [("RELAY_MAX_LIMIT", "100"), ("RELAY_MIN_POW", "20"), ("RELAY_CREATED_AT_PAST", "60")];
        let limited = read(&set, limits).unwrap();
        assert_eq!((limited.max_limit, limited.default_limit, limited.min_pow_difficulty), (100, 100, 20));
        assert_eq!((limited.created_at_lower_limit, limited.created_at_upper_limit), (Some(60), 900));
        for (name, value, bounds) in [
            ("RELAY_MIN_POW", "65", "0 to 64"),
            ("RELAY_MIN_POW", "-1", "0 to 64"),
            ("RELAY_MIN_POW", "many", "0 to 64"),
            ("RELAY_MAX_MESSAGE_LENGTH", "1000", "1024 to 1048576"),
            ("RELAY_CREATED_AT_PAST", "1h", "0 to 4294967295"),
        ] {
            let error = read(&[(name, value)], limits).unwrap_err();
            assert_eq!(error, format!("the variable {name} must be a whole number from {bounds}"), "{value}");
        }
        let rates =
            read(&[("RELAY_MAX_EVENTS_PER_MINUTE", "0"), ("RELAY_LIMIT_LOOPBACK", "yes")], rates).unwrap();
        assert_eq!((rates.events_per_minute, rates.limits_loopback), (0, true));
        assert!(read(&[("RELAY_MAX_CONNECTIONS", "0")], connections).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_fix() {
        let key = "ab".repeat(32);
        let read = |set: &[(&str, &str)]| {
            let deployment = crate::declaration::DeploymentDeclaration::relay_only("relay", "1.0.0", "");
            let variable = |name: &str| {
                set.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
            };
            let settings = super::RelaySettings::read(&deployment, &Limits::default(), variable, None);
            settings.map(|_| ()).map_err(|error| error.to_string())
        };
        for (set, fix) in [
            (
                [("RELAY_ALLOWED_KINDS", "7"), ("RELAY_BLOCKED_KINDS", "1-9")],
                "the variables RELAY_ALLOWED_KINDS and RELAY_BLOCKED_KINDS contradict each other: every allowed kind is blocked",
            ),
            (
                [("RELAY_ALLOWED_PUBKEYS", key.as_str()), ("RELAY_BLOCKED_PUBKEYS", key.as_str())],
                "is in both; take it out of one",
            ),
            (
                [("RELAY_MAX_CONNECTIONS_PER_ADDRESS", "100"), ("RELAY_MAX_CONNECTIONS", "10")],
                "one address cannot have more connections",
            ),
            (
                [("RELAY_MAX_CONTENT_LENGTH", "5000"), ("RELAY_MAX_MESSAGE_LENGTH", "2000")],
                "a content cannot be longer",
            ),
        ] {
            let error = read(&set).unwrap_err();
            assert!(error.contains(fix), "{error}");
            for one in set {
                assert_eq!(read(&[one]), Ok(()), "{one:?}");
            }
        }
    }

    #[test]
    fn says_how_long_kinds_are_kept_and_what_is_wrong_with_that() {
        let rules = read(&[("RELAY_RETENTION", "7000=1d, 5000-5999=0")], retention).unwrap();
        assert!(rules.keeps(Kind(7_000)) && rules.time(Kind(7_000)).is_some() && !rules.keeps(Kind(5_050)));
        let told = |value| read(&[("RELAY_RETENTION", value)], retention).unwrap_err();
        assert!(
            told("7000=1d,7=x").starts_with("the variable RELAY_RETENTION is invalid: `x` is not a time")
        );
        assert!(told("1-9=1d").contains("events of kind 5 are always kept"));
    }

    #[test]
    fn lists_are_of_keys_kinds_and_addresses() {
        let key = openagents_host::Keys::from_secret(&[1; 32]).unwrap().public_key();
        let both = format!("{}, {}", npub(&key), key.to_hex());
        assert_eq!(read(&[("K", &both)], |read| read.keys("K")), Ok([key].into()));
        assert!(
            read(&[("K", "npub1")], |read| read.keys("K"))
                .unwrap_err()
                .contains("the variable K is not a valid key")
        );
        let kinds = |list| read(&[("K", list)], |read| read.kinds("K"));
        assert_eq!(kinds("7, 1,5000-5002"), Ok([1, 7, 5_000, 5_001, 5_002].map(Kind).into()));
        for wrong in ["65536", "a", "9-1", "1-", "-1"] {
            assert!(kinds(wrong).unwrap_err().contains("such as 1,7 or 5000-7000"), "{wrong}");
        }
        let addresses = |list| read(&[("K", list)], |read| read.addresses("K"));
        let found = addresses("192.0.2.1 2001:db8::1").unwrap();
        assert_eq!(found.into_iter().map(Network::of).count(), 2);
        assert!(addresses("example.com").unwrap_err().contains("IP addresses"));
    }
}
