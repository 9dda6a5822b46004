//! Messages from relay to client (NIP-01, NIP-42, NIP-45, NIP-67, NIP-77): written by relays, parsed by clients.

use std::borrow::Cow;
use std::sync::Arc;

use crate::nostr::bytes::EventId;

use serde_json::value::RawValue;

use super::SubscriptionId;
use crate::nostr::reason::{Outcome, Prefix, Reason};

/// A message of a relay. Engines return it in this form, and the sending task writes the JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayMessage {
    /// `EVENT`: an event of a subscription.
    Event {
        /// The subscription that it matches.
        subscription: SubscriptionId,
        /// The event's JSON, shared by all recipients.
        event: Arc<str>,
    },
    /// `OK`: the result for an event that the client sent.
    Ok {
        /// The event's id.
        id: EventId,
        /// The result.
        outcome: Outcome,
    },
    /// `EOSE`: the stored events of a subscription have been sent; new ones follow.
    EndOfStoredEvents {
        /// The subscription id.
        subscription: SubscriptionId,
        /// Whether there are more stored events than were sent (NIP-67).
        completeness: Completeness,
    },
    /// `CLOSED`: a subscription was refused or has ended.
    Closed {
        /// The subscription id.
        subscription: SubscriptionId,
        /// The reason.
        reason: Reason,
    },
    /// `COUNT`: how many events match the filters of a `COUNT` (NIP-45).
    Count {
        /// The id of the query.
        subscription: SubscriptionId,
        /// The result.
        count: Count,
    },
    /// `AUTH`: the challenge that a client signs to authenticate (NIP-42).
    Auth(Arc<str>),
    /// `NEG-MSG`: the next step of a reconciliation (NIP-77).
    Reconcile {
        /// The id of the reconciliation.
        subscription: SubscriptionId,
        /// A message of the Negentropy protocol, in hex.
        message: String,
    },
    /// `NEG-ERR`: a reconciliation was refused or has ended (NIP-77).
    ReconcileRefused {
        /// The id of the reconciliation.
        subscription: SubscriptionId,
        /// The reason.
        reason: Reason,
    },
    /// `NOTICE`: a text for the client's developer.
    Notice(Cow<'static, str>),
}

/// Whether all matching stored events were sent (NIP-67).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// No more events match.
    Finished,
    /// More events match than were sent.
    More,
    /// Unknown.
    Unknown,
}

/// The answer to a `COUNT` (NIP-45).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The number of events that match.
    pub count: u64,
    /// Whether there may be more, because the relay did not examine all of them.
    pub is_approximate: bool,
    /// The HyperLogLog registers of the authors, if NIP-45 defines them for the filter.
    pub registers: Option<Box<[u8; 256]>>,
}

impl RelayMessage {
    /// Parses a message leniently. Returns `None` for a malformed or unknown message, which a client should skip.
    /// Nothing is verified, and the event's JSON is not parsed.
    ///
    /// ```
    /// use openagents_host::nostr::RelayMessage;
    ///
    /// let message = RelayMessage::parse(r#"["NOTICE","we close at noon"]"#);
    /// assert_eq!(message, Some(RelayMessage::Notice("we close at noon".into())));
    /// assert_eq!(RelayMessage::parse(r#"["NEW","hello"]"#), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let string =
            |at: usize| parts.get(at).and_then(|part| serde_json::from_str::<String>(part.get()).ok());
        let subscription = || SubscriptionId::new(&string(1)?).ok();
        // NIP-01 requires a reason, but some relays omit it.
        let reason = |at: usize| Reason::parse(&string(at).unwrap_or_default());
        Some(match string(0)?.as_str() {
            "EVENT" => Self::Event { subscription: subscription()?, event: parts.get(2)?.get().into() },
            "OK" => {
                let id = EventId::from_hex(&string(1)?).ok()?;
                let is_accepted: bool = serde_json::from_str(parts.get(2)?.get()).ok()?;
                let outcome = match reason(3) {
                    Reason { prefix: Prefix::Duplicate, .. } => Outcome::Duplicate,
                    _ if is_accepted => Outcome::Accepted,
                    reason => Outcome::Refused(reason),
                };
                Self::Ok { id, outcome }
            }
            "EOSE" => {
                let hints: Vec<String> =
                    parts.get(2).and_then(|hints| serde_json::from_str(hints.get()).ok()).unwrap_or_default();
                let says = |word: &str| hints.iter().any(|hint| hint == word);
                let completeness = if says("finish") {
                    Completeness::Finished
                } else if says("more") {
                    Completeness::More
                } else {
                    Completeness::Unknown
                };
                Self::EndOfStoredEvents { subscription: subscription()?, completeness }
            }
            "CLOSED" => Self::Closed { subscription: subscription()?, reason: reason(2) },
            "NEG-MSG" => Self::Reconcile { subscription: subscription()?, message: string(2)? },
            "NEG-ERR" => Self::ReconcileRefused { subscription: subscription()?, reason: reason(2) },
            "AUTH" => Self::Auth(string(1)?.into()),
            "NOTICE" => Self::Notice(string(1)?.into()),
            // No client in this program sends a `COUNT`.
            _ => return None,
        })
    }

    /// Appends the message as JSON.
    ///
    /// ```
    /// use openagents_host::nostr::message::{Completeness, RelayMessage, SubscriptionId};
    ///
    /// let mut json = String::new();
    /// let subscription = SubscriptionId::new("s\"1").unwrap();
    /// RelayMessage::EndOfStoredEvents { subscription, completeness: Completeness::More }.write_json(&mut json);
    /// assert_eq!(json, r#"["EOSE","s\"1",["more"]]"#);
    /// ```
    pub fn write_json(&self, json: &mut String) {
        match self {
            Self::Event { subscription, event } => {
                let subscription = subscription.as_json();
                json.reserve(subscription.len().saturating_add(event.len()).saturating_add(16));
                for part in ["[\"EVENT\",", subscription, ",", event, "]"] {
                    json.push_str(part);
                }
            }
            Self::Ok { id, outcome } => {
                json.push_str("[\"OK\",\"");
                json.push_str(&id.to_hex());
                json.push_str(if outcome.is_accepted() { "\",true," } else { "\",false," });
                push_string(json, &outcome.to_string());
                json.push(']');
            }
            Self::EndOfStoredEvents { subscription, completeness } => {
                let hint = match completeness {
                    Completeness::Finished => ",[\"finish\"]]",
                    Completeness::More => ",[\"more\"]]",
                    Completeness::Unknown => "]",
                };
                for part in ["[\"EOSE\",", subscription.as_json(), hint] {
                    json.push_str(part);
                }
            }
            Self::Closed { subscription, reason } => {
                for part in ["[\"CLOSED\",", subscription.as_json(), ","] {
                    json.push_str(part);
                }
                push_string(json, &reason.to_string());
                json.push(']');
            }
            Self::Count { subscription, count } => {
                for part in ["[\"COUNT\",", subscription.as_json(), ",{\"count\":", &count.count.to_string()]
                {
                    json.push_str(part);
                }
                if count.is_approximate {
                    json.push_str(",\"approximate\":true");
                }
                if let Some(registers) = &count.registers {
                    let registers = base16ct::lower::encode_string(registers.as_slice());
                    for part in [",\"hll\":\"", &registers, "\""] {
                        json.push_str(part);
                    }
                }
                json.push_str("}]");
            }
            Self::Auth(challenge) => {
                json.push_str("[\"AUTH\",");
                push_string(json, challenge);
                json.push(']');
            }
            Self::Reconcile { subscription, message } => {
                for part in ["[\"NEG-MSG\",", subscription.as_json(), ","] {
                    json.push_str(part);
                }
                push_string(json, message);
                json.push(']');
            }
            Self::ReconcileRefused { subscription, reason } => {
                for part in ["[\"NEG-ERR\",", subscription.as_json(), ","] {
                    json.push_str(part);
                }
                push_string(json, &reason.to_string());
                json.push(']');
            }
            Self::Notice(text) => {
                json.push_str("[\"NOTICE\",");
                push_string(json, text);
                json.push(']');
            }
        }
    }

    /// The message as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    /// The approximate size of the message in bytes; exact for events.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Event { subscription, event } => {
                // ["EVENT",,]
                subscription.as_json().len().saturating_add(event.len()).saturating_add(11)
            }
            Self::Reconcile { message, .. } => message.len().saturating_add(128),
            _ => 128,
        }
    }
}

fn push_string(json: &mut String, text: &str) {
    // A string always serializes.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use crate::nostr::bytes::EventId;
    use proptest::prelude::*;

    use super::{Completeness, RelayMessage};
    use crate::nostr::message::SubscriptionId;
    use crate::nostr::reason::{Outcome, Reason};

    #[test]
    fn a_step_of_a_reconciliation_that_is_not_hex_is_escaped() {
        let text = r#"["NEG-MSG","a","1\n\"_"]"#;
        assert_eq!(RelayMessage::parse(text).unwrap().to_json(), text);
    }

    proptest! {
        #[test]
        fn any_text_arrives_unchanged(text in any::<String>(), name in "\\PC{1,64}") {
            let subscription = SubscriptionId::new(&name).unwrap();
            let notice: (String, String) = serde_json::from_str(&RelayMessage::Notice(text.clone().into()).to_json()).unwrap();
            prop_assert_eq!(notice, ("NOTICE".to_owned(), text.clone()));
            let closed = RelayMessage::Closed { subscription, reason: Reason::invalid(text.clone()) };
            let closed: (String, String, String) = serde_json::from_str(&closed.to_json()).unwrap();
            prop_assert_eq!(closed, ("CLOSED".to_owned(), name, format!("invalid: {text}")));
        }
    }

    proptest! {
        #[test]
        fn reads_what_relays_write(text in any::<String>(), name in "\\PC{1,64}", number in 0..9_usize) {
            let subscription = SubscriptionId::new(&name).unwrap();
            let reason = Reason::invalid(text.clone());
            let message = match number {
                0 => RelayMessage::Event { subscription, event: "{\"a\":[1, 2]}".into() },
                1 => RelayMessage::Ok { id: EventId::from_bytes([7; 32]), outcome: Outcome::Accepted },
                2 => RelayMessage::Ok { id: EventId::from_bytes([7; 32]), outcome: Outcome::Refused(reason) },
                3 => RelayMessage::EndOfStoredEvents { subscription, completeness: Completeness::More },
                4 => RelayMessage::Closed { subscription, reason },
                5 => RelayMessage::Auth(text.into()),
                6 => RelayMessage::Reconcile { subscription, message: "61ff".into() },
                7 => RelayMessage::ReconcileRefused { subscription, reason },
                _ => RelayMessage::Notice(text.into()),
            };
            prop_assert_eq!(RelayMessage::parse(&message.to_json()), Some(message));
        }

        #[test]
        fn no_text_of_a_relay_makes_it_panic(text in r#"\[?("(EVENT|OK|EOSE|CLOSED|AUTH|NEG-MSG|NEG-ERR)")?,?.{0,60}\]?"#) {
            let _ = RelayMessage::parse(&text);
        }
    }

    #[test]
    fn reads_what_other_relays_write() {
        let id = EventId::from_bytes([0xab; 32]);
        let ok = |accepted: bool, rest: &str| match RelayMessage::parse(&format!(
            r#"["OK","{id}",{accepted}{rest}]"#
        )) {
            Some(RelayMessage::Ok { id: found, outcome }) if found == id => outcome,
            other => panic!("{other:?}"),
        };
        assert_eq!(ok(true, ""), Outcome::Accepted);
        assert_eq!(ok(true, r#","thanks""#), Outcome::Accepted);
        assert_eq!(ok(false, r#","duplicate: had it""#), Outcome::Duplicate);
        assert_eq!(ok(false, ""), Outcome::Refused(Reason::parse("")));
        assert_eq!(ok(false, r#","no""#).to_string(), "no");
        for (hints, expected) in [
            ("", Completeness::Unknown),
            (r#",["more"]"#, Completeness::More),
            (r#",["finish"]"#, Completeness::Finished),
            (",7", Completeness::Unknown),
        ] {
            let message = RelayMessage::parse(&format!(r#"["EOSE","a"{hints}]"#));
            let subscription = SubscriptionId::new("a").unwrap();
            let completeness = expected;
            assert_eq!(message, Some(RelayMessage::EndOfStoredEvents { subscription, completeness }));
        }
    }

    #[test]
    fn passes_over_what_is_broken_or_unknown() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "null",
            "[]",
            "{}",
            "[1]",
            r#"["NEW","hello"]"#,
            r#"["NOTICE",{}]"#,
            r#"["AUTH"]"#,
            r#"["EVENT","a"]"#,
            r#"["EVENT","",{}]"#,
            r#"["OK","00",true,""]"#,
            r#"["OK",null,true,""]"#,
            r#"["EOSE"]"#,
            r#"["EOSE",1]"#,
            &deep,
        ] {
            assert_eq!(RelayMessage::parse(text), None, "{text:.30}");
        }
    }

    #[test]
    fn renders_each_outcome_as_nip01_does() {
        let id = EventId::from_bytes([0xab; 32]);
        for (outcome, accepted, text) in [
            (Outcome::Accepted, true, ""),
            (Outcome::Duplicate, true, "duplicate: already have this event"),
            (Outcome::Refused(Reason::invalid("no")), false, "invalid: no"),
        ] {
            let json: serde_json::Value =
                serde_json::from_str(&RelayMessage::Ok { id, outcome }.to_json()).unwrap();
            assert_eq!(json, serde_json::json!(["OK", id.to_hex(), accepted, text]));
        }
    }

    #[test]
    fn knows_the_size_of_an_event() {
        let message = RelayMessage::Event {
            subscription: SubscriptionId::new("abc").unwrap(),
            event: "{\"id\":1}".into(),
        };
        assert_eq!(message.to_json(), r#"["EVENT","abc",{"id":1}]"#);
        assert_eq!(message.size(), message.to_json().len());
    }
}
