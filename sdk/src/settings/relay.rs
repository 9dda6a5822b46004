//! What the variables say about the relay: whom it serves, and how much.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use openagents_host::keys::parse_public_key;
use openagents_host::{Kind, PublicKey};
use openagents_relay::admission::access::host_of;
use openagents_relay::admission::{ConnectionLimits, Network, RateLimits};
use openagents_relay::{Access, Limits, RelayConfig, RelayInformation, RetentionRules, WritePolicy};

use super::{ADMIN_PUBKEYS, RELAY_URL, SettingError, relay_config, relay_information};
use crate::agent::Jobs;

/// Who has to identify themselves (NIP-42): `none`, `write`, `read` or `all`.
const RELAY_AUTH: &str = "RELAY_AUTH";
/// The kinds that only their author and those whom they name can read; `none` for none.
const RELAY_PRIVATE_KINDS: &str = "RELAY_PRIVATE_KINDS";
/// If there are any, only they may write.
const RELAY_ALLOWED_PUBKEYS: &str = "RELAY_ALLOWED_PUBKEYS";
/// Whose events are refused.
const RELAY_BLOCKED_PUBKEYS: &str = "RELAY_BLOCKED_PUBKEYS";
/// If there are any, only these kinds are taken.
const RELAY_ALLOWED_KINDS: &str = "RELAY_ALLOWED_KINDS";
/// The kinds that are not taken.
const RELAY_BLOCKED_KINDS: &str = "RELAY_BLOCKED_KINDS";
/// From where nobody may connect.
const RELAY_BLOCKED_ADDRESSES: &str = "RELAY_BLOCKED_ADDRESSES";
/// How many leading zero bits an event's id must have (NIP-13).
const RELAY_MIN_POW: &str = "RELAY_MIN_POW";
/// How many seconds an event may be old.
const RELAY_CREATED_AT_PAST: &str = "RELAY_CREATED_AT_PAST";
/// How many seconds the clock of an event may be ahead.
const RELAY_CREATED_AT_FUTURE: &str = "RELAY_CREATED_AT_FUTURE";
/// For how long events of certain kinds are kept.
const RELAY_RETENTION: &str = "RELAY_RETENTION";
const RELAY_MAX_MESSAGE_LENGTH: &str = "RELAY_MAX_MESSAGE_LENGTH";
const RELAY_MAX_CONTENT_LENGTH: &str = "RELAY_MAX_CONTENT_LENGTH";
const RELAY_MAX_EVENT_TAGS: &str = "RELAY_MAX_EVENT_TAGS";
const RELAY_MAX_SUBSCRIPTIONS: &str = "RELAY_MAX_SUBSCRIPTIONS";
const RELAY_MAX_FILTERS: &str = "RELAY_MAX_FILTERS";
const RELAY_MAX_LIMIT: &str = "RELAY_MAX_LIMIT";
const RELAY_MAX_CONNECTIONS: &str = "RELAY_MAX_CONNECTIONS";
const RELAY_MAX_CONNECTIONS_PER_ADDRESS: &str = "RELAY_MAX_CONNECTIONS_PER_ADDRESS";
const RELAY_MAX_EVENTS_PER_MINUTE: &str = "RELAY_MAX_EVENTS_PER_MINUTE";
const RELAY_MAX_REQUESTS_PER_MINUTE: &str = "RELAY_MAX_REQUESTS_PER_MINUTE";
const RELAY_MAX_AUTHS_PER_MINUTE: &str = "RELAY_MAX_AUTHS_PER_MINUTE";
/// Whether rates hold for the relay's own machine too.
const RELAY_LIMIT_LOOPBACK: &str = "RELAY_LIMIT_LOOPBACK";
/// The proxies that say where a client is, natively. On Cloudflare the platform says so.
#[cfg(not(target_arch = "wasm32"))]
const RELAY_TRUSTED_PROXIES: &str = "RELAY_TRUSTED_PROXIES";

/// What a deployment decides about its relay.
#[derive(Clone, Debug)]
pub(crate) struct RelaySettings {
    pub(crate) config: RelayConfig,
    pub(crate) information: RelayInformation,
    /// Who may manage it (NIP-86).
    pub(crate) managers: BTreeSet<PublicKey>,
}

impl RelaySettings {
    /// What the variables decide beside the host's usual limits, and the policy that the deployment has in code.
    pub(crate) fn read<A: Jobs>(
        usual: &Limits,
        variable: impl Fn(&str) -> Option<String>,
        policy: Option<Arc<dyn WritePolicy>>,
    ) -> Result<Self, SettingError> {
        let variables = Variables(&variable);
        let mut config = relay_config::<A>(limits(&variables, usual)?);
        config.access = access(&variables)?;
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
        let managers = variables.keys(ADMIN_PUBKEYS)?;
        let information = relay_information::<A>(&config, !managers.is_empty(), &variable)?;
        Ok(Self { config, information, managers })
    }
}

/// For how long events of certain kinds are kept, for those who work on the database without the relay.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn retention_rules(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<RetentionRules, SettingError> {
    retention(&Variables(&variable))
}

/// The proxies that say where a client is.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn trusted_proxies(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<BTreeSet<IpAddr>, SettingError> {
    Ok(Variables(&variable).addresses(RELAY_TRUSTED_PROXIES)?.into_iter().collect())
}

fn access(variables: &Variables<'_>) -> Result<Access, SettingError> {
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
    let hosts = variables.text(RELAY_URL).as_deref().and_then(host_of).into_iter().collect();
    Ok(Access { hosts, auth_to_read, auth_to_write, private_kinds })
}

fn limits(variables: &Variables<'_>, usual: &Limits) -> Result<Limits, SettingError> {
    // An event has to fit into a row of the database, which has 2 MB on a Durable Object.
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

fn retention(variables: &Variables<'_>) -> Result<RetentionRules, SettingError> {
    let rules = variables.text(RELAY_RETENTION).unwrap_or_default().parse();
    rules.map_err(|error| SettingError::Retention { name: RELAY_RETENTION, error })
}

fn rates(variables: &Variables<'_>) -> Result<RateLimits, SettingError> {
    let usual = RateLimits::default();
    let rate = |name, usual| variables.number(name, usual, 0..=1_000_000);
    Ok(RateLimits {
        events_per_minute: rate(RELAY_MAX_EVENTS_PER_MINUTE, usual.events_per_minute)?,
        requests_per_minute: rate(RELAY_MAX_REQUESTS_PER_MINUTE, usual.requests_per_minute)?,
        auths_per_minute: rate(RELAY_MAX_AUTHS_PER_MINUTE, usual.auths_per_minute)?,
        limits_loopback: variables.switch(RELAY_LIMIT_LOOPBACK, usual.limits_loopback)?,
    })
}

fn connections(variables: &Variables<'_>) -> Result<ConnectionLimits, SettingError> {
    let usual = ConnectionLimits::default();
    // A Durable Object has 32,768 sockets at most.
    let number = |name, usual| variables.number(name, usual, 1..=30_000);
    Ok(ConnectionLimits {
        max_connections: number(RELAY_MAX_CONNECTIONS, usual.max_connections)?,
        max_connections_per_address: number(
            RELAY_MAX_CONNECTIONS_PER_ADDRESS,
            usual.max_connections_per_address,
        )?,
    })
}

/// A deployment's variables, read as what they have to be.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// A value that is not empty, which is the same as none.
    fn text(&self, name: &str) -> Option<String> {
        self.0(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn switch(&self, name: &'static str, usual: bool) -> Result<bool, SettingError> {
        super::switch(name, self.text(name).as_deref(), usual)
    }

    fn number<T: FromStr + PartialOrd + Copy + ToString>(
        &self,
        name: &'static str,
        usual: T,
        range: RangeInclusive<T>,
    ) -> Result<T, SettingError> {
        let Some(text) = self.text(name) else { return Ok(usual) };
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| SettingError::Form {
            name,
            expected: format!(
                "a whole number from {} to {}",
                range.start().to_string(),
                range.end().to_string()
            ),
        })
    }

    fn keys(&self, name: &'static str) -> Result<BTreeSet<PublicKey>, SettingError> {
        let key = |text: &str| parse_public_key(text).map_err(|error| SettingError::Key { name, error });
        parts(&self.text(name).unwrap_or_default()).map(key).collect()
    }

    fn addresses(&self, name: &'static str) -> Result<BTreeSet<IpAddr>, SettingError> {
        let expected = || form(name, "IP addresses, separated by commas, such as 192.0.2.1");
        let address = |text: &str| text.parse::<IpAddr>().map(|address| address.to_canonical());
        parts(&self.text(name).unwrap_or_default())
            .map(|text| address(text).map_err(|_| expected()))
            .collect()
    }

    fn kinds(&self, name: &'static str) -> Result<BTreeSet<Kind>, SettingError> {
        let text = self.text(name).unwrap_or_default();
        let ranges = parts(&text).map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?;
            (!range.is_empty()).then_some(range)
        });
        let ranges = ranges.collect::<Option<Vec<_>>>();
        let ranges =
            ranges.ok_or_else(|| form(name, "kinds, separated by commas, such as 1,7 or 5000-7000"))?;
        Ok(ranges.into_iter().flatten().map(Kind).collect())
    }
}

/// The parts of a list.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ']).filter(|part| !part.is_empty())
}

fn form(name: &'static str, expected: &str) -> SettingError {
    SettingError::Form { name, expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use openagents_host::Kind;
    use openagents_host::keys::npub;
    use openagents_relay::admission::Network;
    use openagents_relay::{Access, Limits, RetentionRules};

    use super::{Variables, access, connections, rates, retention};
    use crate::settings::SettingError;

    fn limits(variables: &Variables<'_>) -> Result<Limits, SettingError> {
        super::limits(variables, &Limits::default())
    }

    fn read<T>(
        variables: &[(&str, &str)],
        setting: impl Fn(&Variables<'_>) -> Result<T, SettingError>,
    ) -> Result<T, String> {
        let variable = |name: &str| {
            variables.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned())
        };
        setting(&Variables(&variable)).map_err(|error| error.to_string())
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
    fn says_how_long_kinds_are_kept_and_what_is_wrong_with_that() {
        let rules = read(&[("RELAY_RETENTION", "7000=1d, 5000-5999=0")], retention).unwrap();
        assert!(rules.keeps(Kind(7_000)) && rules.time(Kind(7_000)).is_some() && !rules.keeps(Kind(5_050)));
        let told = |value| read(&[("RELAY_RETENTION", value)], retention).unwrap_err();
        assert!(
            told("7000=1d,7=x").starts_with("the variable RELAY_RETENTION cannot be used: `x` is no time")
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
                .contains("the variable K holds no key")
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
