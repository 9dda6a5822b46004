use std::borrow::Cow;
use std::sync::Arc;

use crate::nostr::bytes::EventId;

use super::SubscriptionId;
use crate::nostr::reason::{Outcome, Reason};

/// What a relay tells a client. Rendering it is left to who sends it, off the engine's thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayMessage {
    /// An event of a subscription.
    Event {
        /// Whose.
        subscription: SubscriptionId,
        /// The event's JSON: one copy, however many get it.
        event: Arc<str>,
    },
    /// What became of an event that the client sent.
    Ok {
        /// Which one.
        id: EventId,
        /// What became of it.
        outcome: Outcome,
    },
    /// The stored events of a subscription were sent; from now on come new ones.
    EndOfStoredEvents {
        /// Which one.
        subscription: SubscriptionId,
        /// Whether more are stored than were sent (NIP-67).
        completeness: Completeness,
    },
    /// The subscription is refused or over.
    Closed {
        /// Which one.
        subscription: SubscriptionId,
        /// Why.
        reason: Reason,
    },
    /// How many events match the filters of a `COUNT` (NIP-45).
    Count {
        /// The name that the client gave its question.
        subscription: SubscriptionId,
        /// How many.
        count: Count,
    },
    /// What a client that wants to identify itself has to sign (NIP-42).
    Auth(Arc<str>),
    /// The next step of a reconciliation (NIP-77).
    Reconcile {
        /// Which one.
        subscription: SubscriptionId,
        /// A message of the Negentropy protocol, in hex.
        message: String,
    },
    /// A reconciliation is refused or over (NIP-77).
    ReconcileRefused {
        /// Which one.
        subscription: SubscriptionId,
        /// Why.
        reason: Reason,
    },
    /// Something for the client's developer to read.
    Notice(Cow<'static, str>),
}

/// Whether the stored events that were sent are all there are (NIP-67).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// They are.
    Finished,
    /// More match than were sent.
    More,
    /// That was not looked into.
    Unknown,
}

/// The answer to a `COUNT` (NIP-45).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many events match.
    pub count: u64,
    /// Whether there may be more: the relay did not look at all of them.
    pub is_approximate: bool,
    /// The HyperLogLog registers of the authors, where the filter allows it.
    pub registers: Option<Box<[u8; 256]>>,
}

impl RelayMessage {
    /// Appends the message's JSON.
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
                for part in ["[\"NEG-MSG\",", subscription.as_json(), ",\"", message, "\"]"] {
                    json.push_str(part);
                }
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

    /// The message's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    /// About how many bytes the message has, at least; exact for events.
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
    // A string always serialises.
    json.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use crate::nostr::bytes::EventId;
    use proptest::prelude::*;

    use super::RelayMessage;
    use crate::nostr::message::SubscriptionId;
    use crate::nostr::reason::{Outcome, Reason};

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
