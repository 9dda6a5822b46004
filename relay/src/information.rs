//! The relay's description of itself (NIP-11).

use std::collections::BTreeSet;

use openagents_host::PublicKey;
use serde::Serialize;

use crate::limits::Limits;
use crate::message::MAX_SUBSCRIPTION_ID;

/// The NIPs that this relay implements by itself.
pub const SUPPORTED_NIPS: [u16; 6] = [1, 11, 45, 50, 67, 77];

/// The `Accept` value that asks for the document, and its content type.
pub const CONTENT_TYPE: &str = "application/nostr+json";

/// The headers that let pages of any origin read the document (NIP-11).
pub const CORS_HEADERS: [(&str, &str); 3] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-headers", "accept, content-type"),
    ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
];

/// The relay information document. It serialises as NIP-11 wants it.
///
/// ```
/// use openagents_relay::{Limits, RelayInformation};
///
/// let mut information = RelayInformation::new(Limits::default());
/// information.name = Some("hello-world".into());
/// information.add_nips([90]);
/// assert!(information.to_json().contains(r#""supported_nips":[1,11,45,50,67,77,90]"#));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelayInformation {
    /// What the relay is called; better below 30 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for, as plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pubkey: Option<PublicKey>,
    /// Who the relay itself is.
    #[serde(rename = "self", skip_serializing_if = "Option::is_none")]
    pub own_pubkey: Option<PublicKey>,
    /// Another way to reach who runs it: a URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
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
    min_pow_difficulty: u8,
    auth_required: bool,
    payment_required: bool,
    restricted_writes: bool,
}

impl RelayInformation {
    /// The document of a relay with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            name: None,
            description: None,
            pubkey: None,
            own_pubkey: None,
            contact: None,
            supported_nips: SUPPORTED_NIPS.into(),
            software: env!("CARGO_PKG_REPOSITORY"),
            version: env!("CARGO_PKG_VERSION"),
            limitation: Limitation {
                limits,
                max_subid_length: MAX_SUBSCRIPTION_ID,
                min_pow_difficulty: 0,
                auth_required: false,
                payment_required: false,
                restricted_writes: false,
            },
        }
    }

    /// Adds NIPs that what runs beside the relay implements.
    pub fn add_nips(&mut self, nips: impl IntoIterator<Item = u16>) {
        self.supported_nips.extend(nips);
    }

    /// Names only those of the supported NIPs that are in this list (the variable `SUPPORTED_NIPS`), which is written as
    /// `[1, 11, 90]`, with or without the brackets.
    ///
    /// # Errors
    /// When a part of the list is no number.
    pub fn allow_nips(&mut self, list: &str) -> Result<(), std::num::ParseIntError> {
        let list = list.trim();
        let list = list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(list);
        let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
        let allowed: BTreeSet<u16> = parts.map(str::parse).collect::<Result<_, _>>()?;
        self.supported_nips.retain(|nip| allowed.contains(nip));
        Ok(())
    }

    /// The document.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts, numbers and lists always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whether an `Accept` header asks for the document rather than for a page.
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
    use openagents_host::PublicKey;

    use super::RelayInformation;
    use crate::limits::Limits;

    #[test]
    fn publishes_every_limit_and_who_it_is() {
        let mut information = RelayInformation::new(Limits { max_limit: 7, ..Limits::default() });
        information.own_pubkey = Some(PublicKey::from_bytes([2; 32]));
        let json: serde_json::Value = serde_json::from_str(&information.to_json()).unwrap();
        assert_eq!(json["self"], "02".repeat(32));
        assert!(json.get("name").is_none());
        let limitation = serde_json::json!({
            "max_message_length": 262_144, "max_subscriptions": 64, "max_subid_length": 64, "max_limit": 7,
            "max_event_tags": 2_500, "max_content_length": 131_072, "created_at_upper_limit": 900, "default_limit": 500,
            "max_filters": 16, "max_filters_length": 262_144, "max_answer_length": 4_194_304,
            "max_reconciled_events": 500_000, "min_pow_difficulty": 0,
            "auth_required": false, "payment_required": false, "restricted_writes": false,
        });
        assert_eq!(json["limitation"], limitation);
    }

    #[test]
    fn an_operator_can_name_fewer_nips_but_not_more() {
        let mut information = RelayInformation::new(Limits::default());
        information.add_nips([90, 90]);
        information.allow_nips(" 90, 1 ,2,").unwrap();
        let json: serde_json::Value = serde_json::from_str(&information.to_json()).unwrap();
        assert_eq!(json["supported_nips"], serde_json::json!([1, 90]));
        assert!(information.allow_nips("1;11").is_err() && information.allow_nips("[1").is_err());
        information.allow_nips("[90]").unwrap();
        assert!(information.to_json().contains(r#""supported_nips":[90]"#));
    }
}
