//! What a relay says to one that reconciles with it.

use openagents_host::{Event, EventId};
use serde_json::value::RawValue;

/// A message of a relay (NIP-01, NIP-77).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Event {
        subscription: String,
        event: Event,
        /// How long the message is, in bytes.
        length: usize,
    },
    Ok {
        id: EventId,
        accepted: bool,
        reason: String,
    },
    EndOfStored {
        subscription: String,
        /// Whether the relay says that these were all (NIP-67).
        is_last: bool,
    },
    Closed {
        subscription: String,
        reason: String,
    },
    Reconcile {
        subscription: String,
        message: Vec<u8>,
    },
    ReconcileRefused {
        subscription: String,
        reason: String,
    },
    Notice(String),
    /// A challenge (NIP-42), or what is new or broken.
    Other,
}

impl Message {
    pub(super) fn from_json(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Other)
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let string =
            |at: usize| parts.get(at).and_then(|part| serde_json::from_str::<String>(part.get()).ok());
        Some(match string(0)?.as_str() {
            "EVENT" => Self::Event {
                subscription: string(1)?,
                event: Event::from_json(parts.get(2)?.get()).ok()?,
                length: text.len(),
            },
            "OK" => Self::Ok {
                id: EventId::from_hex(&string(1)?).ok()?,
                accepted: serde_json::from_str(parts.get(2)?.get()).ok()?,
                reason: string(3).unwrap_or_default(),
            },
            "EOSE" => {
                let hints: Vec<String> =
                    parts.get(2).and_then(|hints| serde_json::from_str(hints.get()).ok()).unwrap_or_default();
                Self::EndOfStored {
                    subscription: string(1)?,
                    is_last: hints.iter().any(|hint| hint == "finish"),
                }
            }
            "CLOSED" => Self::Closed { subscription: string(1)?, reason: string(2).unwrap_or_default() },
            "NEG-MSG" => Self::Reconcile {
                subscription: string(1)?,
                message: base16ct::mixed::decode_vec(string(2)?).ok()?,
            },
            "NEG-ERR" => {
                Self::ReconcileRefused { subscription: string(1)?, reason: string(2).unwrap_or_default() }
            }
            "NOTICE" => Self::Notice(string(1)?),
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Message;
    use crate::fixtures;

    #[test]
    fn reads_what_relays_say() {
        let event = fixtures::signed(1, 1, &[]);
        let text = format!(r#"["EVENT","a",{}]"#, event.json());
        let expected =
            Message::Event { subscription: "a".to_owned(), event: (*event).clone(), length: text.len() };
        assert_eq!(Message::from_json(&text), expected);
        for (text, is_last) in [
            (r#"["EOSE","a"]"#, false),
            (r#"["EOSE","a",["more"]]"#, false),
            (r#"["EOSE","a",["finish"]]"#, true),
        ] {
            assert_eq!(
                Message::from_json(text),
                Message::EndOfStored { subscription: "a".to_owned(), is_last }
            );
        }
        assert_eq!(
            Message::from_json(r#"["NEG-MSG","a","61FF00"]"#),
            Message::Reconcile { subscription: "a".to_owned(), message: vec![0x61, 0xff, 0] }
        );
        assert_eq!(
            Message::from_json(r#"["NEG-ERR","a","blocked: too big",1000]"#),
            Message::ReconcileRefused { subscription: "a".to_owned(), reason: "blocked: too big".to_owned() }
        );
        for text in ["", "[]", r#"["NEG-MSG","a","xyz"]"#, r#"["AUTH","c"]"#, r#"["EVENT","a",{}]"#] {
            assert_eq!(Message::from_json(text), Message::Other);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"\[?("(EVENT|OK|EOSE|CLOSED|NEG-MSG|NEG-ERR)")?,?.{0,60}\]?"#) {
            Message::from_json(&text);
        }
    }
}
