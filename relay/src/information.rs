//! The relay information document (NIP-11).

use std::collections::BTreeSet;

use openagents_host::http::{HeaderValue, Response, StatusCode, response};
use openagents_host::{Kind, PublicKey};
use serde::Serialize;

use crate::admission::access::GIFT_WRAPS;
use crate::engine::RelayConfig;
use crate::limits::Limits;
use crate::management::Rules;
use openagents_host::nostr::message::MAX_SUBSCRIPTION_ID;

/// The NIPs that this relay implements in every configuration.
pub const SUPPORTED_NIPS: [u16; 11] = [1, 9, 11, 40, 42, 45, 50, 62, 67, 70, 77];

/// The kind of relay lists (NIP-65).
const RELAY_LIST: Kind = Kind(10_002);
const RELAY_LIST_NIP: u16 = 65;

/// The `Accept` value that requests the document, and its content type.
pub const CONTENT_TYPE: &str = "application/nostr+json";

/// The relay information document. It serializes as described in NIP-11.
///
/// ```
/// use openagents_relay::{RelayConfig, RelayInformation};
///
/// let mut information = RelayInformation::new(&RelayConfig::default());
/// information.name = Some("hello-world".into());
/// information.add_nips([90]);
/// assert!(information.to_json().contains(r#""supported_nips":[1,9,11,17,40,42,45,50,59,62,65,67,70,77,90]"#));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelayInformation {
    /// The relay's name; preferably below 30 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The relay's description, as plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The public key of the relay's administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pubkey: Option<PublicKey>,
    /// The public key of the relay itself.
    #[serde(rename = "self", skip_serializing_if = "Option::is_none")]
    pub own_pubkey: Option<PublicKey>,
    /// Another way to contact the administrator: a URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The URL of the relay's icon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    supported_nips: BTreeSet<u16>,
    software: &'static str,
    version: &'static str,
    limitation: Limitation,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Limitation {
    #[serde(flatten)]
    limits: Limits,
    max_subid_length: usize,
    auth_required: bool,
    payment_required: bool,
    restricted_writes: bool,
}

impl RelayInformation {
    /// The document of a relay with this configuration. It lists the NIPs that apply, without those that the
    /// configuration turns off.
    #[must_use]
    pub fn new(config: &RelayConfig) -> Self {
        let access = &config.access;
        let admission = &config.admission;
        let keeps = |kind| config.retention.keeps(kind);
        let has_private_wraps = access.private_kinds.contains(&GIFT_WRAPS[0]) && keeps(GIFT_WRAPS[0]);
        let with_work = config.limits.min_pow_difficulty > 0;
        let with_policy = admission.policy.as_ref().is_some_and(|policy| policy.restricts_writes());
        let conditional = [
            (with_work, 13),
            (has_private_wraps, 17),
            (has_private_wraps, 59),
            (
                admission.lists.takes_kind(RELAY_LIST) && keeps(RELAY_LIST) && !access.auth_to_write,
                RELAY_LIST_NIP,
            ),
        ];
        let conditional = conditional.into_iter().filter_map(|(holds, nip)| holds.then_some(nip));
        Self {
            name: None,
            description: None,
            pubkey: None,
            own_pubkey: None,
            contact: None,
            icon: None,
            supported_nips: SUPPORTED_NIPS.into_iter().chain(conditional).collect(),
            software: env!("CARGO_PKG_REPOSITORY"),
            version: env!("CARGO_PKG_VERSION"),
            limitation: Limitation {
                limits: config.limits.clone(),
                max_subid_length: MAX_SUBSCRIPTION_ID,
                auth_required: access.auth_to_read && access.auth_to_write,
                payment_required: false,
                restricted_writes: with_work
                    || with_policy
                    || access.auth_to_write
                    || admission.lists.restricts_writes(),
            },
        }
    }

    /// This document with the rules currently in force, that is, with the operators' changes.
    #[must_use]
    pub fn under(&self, rules: &Rules) -> Self {
        let mut document = self.clone();
        let replace = |text: &mut Option<String>, by: &Option<String>| {
            if let Some(by) = by {
                // An empty name means no name.
                *text = Some(by.clone()).filter(|by| !by.is_empty());
            }
        };
        replace(&mut document.name, &rules.name);
        replace(&mut document.description, &rules.description);
        replace(&mut document.icon, &rules.icon);
        document.limitation.restricted_writes |= rules.lists.restricts_writes();
        if !rules.lists.takes_kind(RELAY_LIST) {
            document.supported_nips.remove(&RELAY_LIST_NIP);
        }
        document
    }

    /// Adds NIPs that are implemented outside of the relay.
    pub fn add_nips(&mut self, nips: impl IntoIterator<Item = u16>) {
        self.supported_nips.extend(nips);
    }

    /// Whether it lists this NIP.
    #[must_use]
    pub fn lists(&self, nip: u16) -> bool {
        self.supported_nips.contains(&nip)
    }

    /// Restricts the supported NIPs to this list (the variable `SUPPORTED_NIPS`), which is written as `[1, 11, 90]`,
    /// with or without brackets.
    ///
    /// # Errors
    /// When an item of the list is not a number.
    pub fn allow_nips(&mut self, list: &str) -> Result<(), std::num::ParseIntError> {
        let list = list.trim();
        let list = list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(list);
        let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
        let allowed: BTreeSet<u16> = parts.map(str::parse).collect::<Result<_, _>>()?;
        self.supported_nips.retain(|nip| allowed.contains(nip));
        Ok(())
    }

    /// The HTTP response with the document, which web pages of any origin may read.
    #[must_use]
    pub fn to_response(&self) -> Response {
        let content_type = HeaderValue::from_static(CONTENT_TYPE);
        let mut response = response::bytes(StatusCode::OK, content_type, self.to_json());
        response::set_common_headers(response.headers_mut());
        response
    }

    /// The document as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whether an `Accept` header requests the document rather than a web page.
///
/// ```
/// use openagents_relay::information::asks_for_document;
///
/// assert!(asks_for_document("text/html, Application/nostr+json;q=0.9"));
/// assert!(!asks_for_document("application/json, */*"));
/// ```
#[must_use]
pub fn asks_for_document(accept: &str) -> bool {
    accept.split(',').any(|part| {
        part.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(CONTENT_TYPE))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openagents_host::{Kind, PublicKey};
    use serde_json::{Value, json};

    use super::RelayInformation;
    use crate::admission::{Submission, WritePolicy};
    use crate::engine::RelayConfig;
    use crate::limits::Limits;
    use crate::management::Rules;
    use crate::reason::Reason;

    fn document(information: &RelayInformation) -> Value {
        serde_json::from_str(&information.to_json()).unwrap()
    }

    fn of(change: impl FnOnce(&mut RelayConfig)) -> Value {
        let mut config = RelayConfig::default();
        change(&mut config);
        document(&RelayInformation::new(&config))
    }

    #[test]
    fn publishes_every_limit_and_the_relays_keys() {
        let limits = Limits { max_limit: 7, ..Limits::default() };
        let mut information = RelayInformation::new(&RelayConfig { limits, ..RelayConfig::default() });
        information.own_pubkey = Some(PublicKey::from_bytes([2; 32]));
        let json = document(&information);
        assert_eq!(json["self"], "02".repeat(32));
        assert!(json.get("name").is_none());
        let limitation = json!({
            "max_message_length": 262_144, "max_subscriptions": 64, "max_subid_length": 64, "max_limit": 7,
            "max_event_tags": 2_500, "max_content_length": 131_072, "created_at_upper_limit": 900, "default_limit": 500,
            "max_filters": 16, "max_filter_values": 5_000, "max_connection_values": 20_000,
            "max_filters_length": 524_288, "max_search_filters": 16, "max_answer_length": 4_194_304,
            "max_reconciled_events": 500_000, "max_look_ups": 500_000, "min_pow_difficulty": 0,
            "auth_required": false, "payment_required": false, "restricted_writes": false,
        });
        assert_eq!(json["limitation"], limitation);
    }

    #[test]
    fn an_operator_can_name_fewer_nips_but_not_more() {
        let mut information = RelayInformation::new(&RelayConfig::default());
        information.add_nips([90, 90]);
        information.allow_nips(" 90, 1 ,2,").unwrap();
        assert_eq!(document(&information)["supported_nips"], json!([1, 90]));
        assert!(information.allow_nips("1;11").is_err() && information.allow_nips("[1").is_err());
        information.allow_nips("[90]").unwrap();
        assert!(information.to_json().contains(r#""supported_nips":[90]"#));
    }

    #[test]
    fn lists_no_nip_that_is_turned_off() {
        let lists =
            |document: &Value, nip: u16| document["supported_nips"].as_array().unwrap().contains(&nip.into());
        let usual = of(|_| {});
        for (nip, listed) in [(13, false), (17, true), (59, true), (65, true), (42, true), (70, true)] {
            assert_eq!(lists(&usual, nip), listed, "{nip}");
        }
        assert!(lists(&of(|config| config.limits.min_pow_difficulty = 1), 13));
        let open = of(|config| config.access.private_kinds = [Kind(4)].into_iter().collect());
        assert!(!lists(&open, 17) && !lists(&open, 59));
        assert!(!lists(&of(|config| config.admission.lists.blocked_kinds = [Kind(10_002)].into()), 65));
        assert!(!lists(&of(|config| config.access.auth_to_write = true), 65));
        let forgetful = of(|config| config.retention = "1059=0,10002=0".parse().unwrap());
        assert!([17, 59, 65].iter().all(|nip| !lists(&forgetful, *nip)));
    }

    #[test]
    fn says_whether_writes_are_restricted() {
        struct RestrictingPolicy(bool);
        impl WritePolicy for RestrictingPolicy {
            fn admit(&self, _: &Submission<'_>) -> Result<(), Reason> {
                Ok(())
            }
            fn restricts_writes(&self) -> bool {
                self.0
            }
        }
        let flags = |document: Value| {
            let flag = |name: &str| document["limitation"][name].as_bool().unwrap();
            (flag("auth_required"), flag("restricted_writes"))
        };
        let key = PublicKey::from_bytes([2; 32]);
        assert_eq!(flags(of(|config| config.access.auth_to_read = true)), (false, false));
        assert_eq!(flags(of(|config| config.access.auth_to_write = true)), (false, true));
        let both = of(|config| (config.access.auth_to_read, config.access.auth_to_write) = (true, true));
        assert_eq!(flags(both), (true, true));
        assert_eq!(flags(of(|config| config.limits.min_pow_difficulty = 9)), (false, true));
        assert_eq!(flags(of(|config| config.admission.lists.allowed_pubkeys = [key].into())), (false, true));
        assert_eq!(flags(of(|config| config.admission.lists.blocked_pubkeys = [key].into())), (false, false));
        for restricts in [false, true] {
            let policy: Arc<dyn WritePolicy> = Arc::new(RestrictingPolicy(restricts));
            assert_eq!(flags(of(|config| config.admission.policy = Some(policy))), (false, restricts));
        }
    }

    #[test]
    fn shows_what_operators_have_changed() {
        let mut information = RelayInformation::new(&RelayConfig::default());
        information.name = Some("before".to_owned());
        information.icon = Some("https://a.example/icon.png".to_owned());
        let mut rules =
            Rules { name: Some("after".to_owned()), icon: Some(String::new()), ..Rules::default() };
        let changed = document(&information.under(&rules));
        assert_eq!((&changed["name"], changed.get("icon")), (&json!("after"), None));
        assert_eq!(changed["limitation"]["restricted_writes"], false);
        rules.lists.allowed_pubkeys = [PublicKey::from_bytes([2; 32])].into();
        let restricted = document(&information.under(&rules));
        assert_eq!(restricted["limitation"]["restricted_writes"], true);
        assert!(!restricted["supported_nips"].as_array().unwrap().contains(&65.into()));
    }
}
