//! Management calls: a method and its parameters.

use std::net::IpAddr;

use openagents_host::{EventId, JsonObject, Kind, PublicKey};
use serde::Deserialize;
use serde_json::Value;

use super::{InformationText, List};

/// The supported methods of NIP-86: all except those for roles, which this relay does not have.
pub const METHODS: [&str; 20] = [
    "banpubkey",
    "unbanpubkey",
    "listbannedpubkeys",
    "allowpubkey",
    "unallowpubkey",
    "listallowedpubkeys",
    "listeventsneedingmoderation",
    "allowevent",
    "banevent",
    "listbannedevents",
    "changerelayname",
    "changerelaydescription",
    "changerelayicon",
    "allowkind",
    "disallowkind",
    "listallowedkinds",
    "blockip",
    "unblockip",
    "listblockedips",
    "supportedmethods",
];

/// The maximum length of a reason or a text, in characters.
const MAX_TEXT_CHARS: usize = 4_096;

/// A management call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// List the supported methods.
    SupportedMethods,
    /// Refuse the events of an author, and remove those that are stored.
    BanPubkey(PublicKey, Option<String>),
    /// Accept the events of a banned author again.
    UnbanPubkey(PublicKey),
    /// Allow a key to publish. As soon as one key is allowed, only allowed keys may publish.
    AllowPubkey(PublicKey, Option<String>),
    /// Remove a key from the allowed ones. When none is left, everybody may publish.
    UnallowPubkey(PublicKey),
    /// Remove an event and refuse it from now on.
    BanEvent(EventId, Option<String>),
    /// Accept a banned event again, or mark a reported one as acceptable.
    AllowEvent(EventId, Option<String>),
    /// Accept a kind again if it was disallowed; otherwise add it to the allowed kinds, which are then the only ones
    /// accepted.
    AllowKind(Kind),
    /// Refuse a kind.
    DisallowKind(Kind),
    /// Refuse connections from an address, and close those that are open.
    BlockAddress(IpAddr, Option<String>),
    /// Accept connections from an address again.
    UnblockAddress(IpAddr),
    /// Show a list.
    Show(List),
    /// Show the events that were reported and are neither banned nor allowed.
    ShowReported,
    /// Change the relay's name, description or icon.
    Change(InformationText, String),
}

/// Why a request body is not a valid call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It is not the JSON of a call.
    #[error("expected an object with `method` and `params`: {0}")]
    Form(String),
    /// The method is not supported.
    #[error("the method `{0}` is not supported; `supportedmethods` lists those that are")]
    Method(String),
    /// A parameter is missing or cannot be read.
    #[error("the method `{method}` needs {expected} as its first parameter")]
    Parameter {
        /// The name of the method.
        method: String,
        /// What the parameter should be.
        expected: &'static str,
    },
    /// A text parameter is too long.
    #[error("a text can have at most {MAX_TEXT_CHARS} characters")]
    TooLong,
}

#[derive(Deserialize)]
struct Form {
    method: String,
    #[serde(default)]
    params: Vec<Value>,
}

impl Call {
    /// Parses the body of a request.
    ///
    /// ```
    /// use openagents_relay::management::{Call, InformationText};
    ///
    /// let call = Call::parse(r#"{"method":"changerelayname","params":["Ada's"]}"#);
    /// assert_eq!(call, Ok(Call::Change(InformationText::Name, "Ada's".into())));
    /// ```
    ///
    /// # Errors
    /// When it is not a call that this relay supports.
    pub fn parse(json: &str) -> Result<Self, CallError> {
        let JsonObject(Form { method, params }) =
            serde_json::from_str(json).map_err(|error| CallError::Form(error.to_string()))?;
        let first = params.first();
        let text = first.and_then(Value::as_str);
        let expected = |expected| CallError::Parameter { method: method.clone(), expected };
        let key = || {
            let key = text.and_then(|text| PublicKey::from_hex(text).ok());
            key.ok_or_else(|| expected("a public key in hex"))
        };
        let id = || {
            let id = text.and_then(|text| EventId::from_hex(text).ok());
            id.ok_or_else(|| expected("an event id in hex"))
        };
        let address = || text.and_then(|text| text.parse().ok()).ok_or_else(|| expected("an IP address"));
        let kind = || {
            // Some clients send every parameter as a string.
            let number = first.and_then(|first| first.as_u64().or_else(|| first.as_str()?.parse().ok()));
            let kind = number.and_then(|number| u16::try_from(number).ok()).map(Kind);
            kind.ok_or_else(|| expected("a kind, 0 to 65535,"))
        };
        let reason = || -> Result<Option<String>, CallError> {
            let reason = params.get(1).and_then(Value::as_str).filter(|reason| !reason.is_empty());
            reason.map(kept).transpose()
        };
        let wording = || text.ok_or_else(|| expected("a text")).and_then(kept);
        Ok(match method.as_str() {
            "supportedmethods" => Self::SupportedMethods,
            "banpubkey" => Self::BanPubkey(key()?, reason()?),
            "unbanpubkey" => Self::UnbanPubkey(key()?),
            "listbannedpubkeys" => Self::Show(List::BannedPubkeys),
            "allowpubkey" => Self::AllowPubkey(key()?, reason()?),
            "unallowpubkey" => Self::UnallowPubkey(key()?),
            "listallowedpubkeys" => Self::Show(List::AllowedPubkeys),
            "listeventsneedingmoderation" => Self::ShowReported,
            "allowevent" => Self::AllowEvent(id()?, reason()?),
            "banevent" => Self::BanEvent(id()?, reason()?),
            "listbannedevents" => Self::Show(List::BannedEvents),
            "changerelayname" => Self::Change(InformationText::Name, wording()?),
            "changerelaydescription" => Self::Change(InformationText::Description, wording()?),
            "changerelayicon" => Self::Change(InformationText::Icon, wording()?),
            "allowkind" => Self::AllowKind(kind()?),
            "disallowkind" => Self::DisallowKind(kind()?),
            "listallowedkinds" => Self::Show(List::AllowedKinds),
            "blockip" => Self::BlockAddress(address()?, reason()?),
            "unblockip" => Self::UnblockAddress(address()?),
            "listblockedips" => Self::Show(List::BlockedAddresses),
            _ => return Err(CallError::Method(method)),
        })
    }
}

impl Call {
    /// Whether the call changes nothing.
    pub(crate) const fn is_read_only(&self) -> bool {
        matches!(self, Self::SupportedMethods | Self::Show(_) | Self::ShowReported)
    }
}

fn kept(text: &str) -> Result<String, CallError> {
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(CallError::TooLong);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use openagents_host::{EventId, Kind, PublicKey};
    use proptest::prelude::*;

    use super::{Call, CallError, MAX_TEXT_CHARS, METHODS};

    fn call(method: &str, params: &str) -> Result<Call, CallError> {
        Call::parse(&format!(r#"{{"method":"{method}","params":{params}}}"#))
    }

    #[test]
    fn every_method_that_is_listed_is_known() {
        let hex = "ab".repeat(32);
        for method in METHODS {
            let params = match method {
                "blockip" | "unblockip" => r#"["192.0.2.1"]"#.to_owned(),
                "allowkind" | "disallowkind" => "[1]".to_owned(),
                _ => format!(r#"["{hex}"]"#),
            };
            assert!(call(method, &params).is_ok(), "{method}");
        }
        assert_eq!(call("createrole", "[]"), Err(CallError::Method("createrole".to_owned())));
    }

    #[test]
    fn reads_what_the_spec_shows() {
        let hex = "ab".repeat(32);
        let key = PublicKey::from_hex(&hex).unwrap();
        let id = EventId::from_hex(&hex).unwrap();
        let spam = Some("spam".to_owned());
        assert_eq!(
            call("banpubkey", &format!(r#"["{hex}","spam"]"#)),
            Ok(Call::BanPubkey(key, spam.clone()))
        );
        assert_eq!(call("banpubkey", &format!(r#"["{hex}",""]"#)), Ok(Call::BanPubkey(key, None)));
        assert_eq!(call("banevent", &format!(r#"["{hex}","spam"]"#)), Ok(Call::BanEvent(id, spam)));
        assert_eq!(call("allowkind", "[65535]"), Ok(Call::AllowKind(Kind(65_535))));
        assert_eq!(call("disallowkind", r#"["4"]"#), Ok(Call::DisallowKind(Kind(4))));
        assert_eq!(Call::parse(r#"{"method":"supportedmethods"}"#), Ok(Call::SupportedMethods));
    }

    #[test]
    fn says_what_is_wrong() {
        for (method, params, within) in [
            ("banpubkey", "[]", "a public key in hex"),
            ("banpubkey", r#"["npub1"]"#, "a public key in hex"),
            ("banevent", "[7]", "an event id in hex"),
            ("allowkind", "[65536]", "a kind"),
            ("blockip", r#"["example.com"]"#, "an IP address"),
            ("changerelayname", "[null]", "a text"),
        ] {
            let error = call(method, params).unwrap_err().to_string();
            assert!(error.contains(within) && error.contains(method), "{error}");
        }
        for form in ["", "[]", "{}", r#"{"method":1}"#, r#"{"method":"banpubkey","params":{}}"#] {
            assert!(matches!(Call::parse(form), Err(CallError::Form(_))), "{form}");
        }
        let long = "é".repeat(MAX_TEXT_CHARS + 1);
        assert_eq!(call("changerelayname", &format!(r#"["{long}"]"#)), Err(CallError::TooLong));
    }

    proptest! {
        #[test]
        fn reads_or_refuses_anything(text in ".*", method in prop::sample::select(&METHODS[..]), param in ".{0,70}") {
            let _ = Call::parse(&text);
            let _ = call(method, &serde_json::json!([param, param]).to_string());
        }
    }
}
