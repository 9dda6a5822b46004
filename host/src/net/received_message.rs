//! What a relay says, as its client reads it.

use serde_json::value::RawValue;

use crate::nostr::{Event, EventId};

/// A message of a relay (NIP-01, NIP-42, NIP-67, NIP-77). Nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceivedMessage {
    /// An event of a subscription.
    Event {
        /// Which one.
        subscription: String,
        /// The event, whose id and signature may be wrong.
        event: Event,
    },
    /// What became of an event, or of an identification.
    Ok {
        /// Which one.
        id: EventId,
        /// Whether it was taken.
        accepted: bool,
        /// Why, or why not. NIP-01 demands it, but not every relay gives a reason with a yes.
        reason: String,
    },
    /// The stored events of a subscription have all been sent.
    EndOfStored {
        /// Which one.
        subscription: String,
        /// Whether the relay says that it has no more of them (NIP-67).
        is_last: bool,
    },
    /// A subscription has ended, or was not begun.
    Closed {
        /// Which one.
        subscription: String,
        /// Why.
        reason: String,
    },
    /// The next step of a reconciliation (NIP-77).
    Reconcile {
        /// Which one.
        subscription: String,
        /// The step.
        message: Vec<u8>,
    },
    /// A reconciliation has ended, or was not begun (NIP-77).
    ReconcileRefused {
        /// Which one.
        subscription: String,
        /// Why.
        reason: String,
    },
    /// The challenge for clients that identify themselves (NIP-42).
    Auth(String),
    /// Something for people to read.
    Notice(String),
    /// What is new or broken.
    Other,
}

impl ReceivedMessage {
    /// Reads the text of a message. Whatever cannot be read is [`Other`](Self::Other): a relay that says something strange
    /// may yet say something else.
    ///
    /// ```
    /// use openagents_host::net::ReceivedMessage;
    ///
    /// let message = ReceivedMessage::from_json(r#"["NOTICE","we close at noon"]"#);
    /// assert_eq!(message, ReceivedMessage::Notice("we close at noon".to_owned()));
    /// ```
    #[must_use]
    pub fn from_json(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Other)
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let string =
            |at: usize| parts.get(at).and_then(|part| serde_json::from_str::<String>(part.get()).ok());
        Some(match string(0)?.as_str() {
            "EVENT" => {
                Self::Event { subscription: string(1)?, event: Event::from_json(parts.get(2)?.get()).ok()? }
            }
            "OK" => Self::Ok {
                id: EventId::from_hex(&string(1)?).ok()?,
                accepted: serde_json::from_str(parts.get(2)?.get()).ok()?,
                reason: string(3).unwrap_or_default(),
            },
            "EOSE" => {
                let hints: Vec<String> =
                    parts.get(2).and_then(|hints| serde_json::from_str(hints.get()).ok()).unwrap_or_default();
                let is_last = hints.iter().any(|hint| hint == "finish");
                Self::EndOfStored { subscription: string(1)?, is_last }
            }
            "CLOSED" => Self::Closed { subscription: string(1)?, reason: string(2).unwrap_or_default() },
            "NEG-MSG" => Self::Reconcile {
                subscription: string(1)?,
                message: base16ct::mixed::decode_vec(string(2)?).ok()?,
            },
            "NEG-ERR" => {
                Self::ReconcileRefused { subscription: string(1)?, reason: string(2).unwrap_or_default() }
            }
            "AUTH" => Self::Auth(string(1)?),
            "NOTICE" => Self::Notice(string(1)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(text: &str) -> ReceivedMessage {
        ReceivedMessage::from_json(text)
    }

    #[test]
    fn reads_the_messages_of_nip_01() {
        let id = "0".repeat(63) + "1";
        let event = format!(
            r#"{{"id":"{id}","pubkey":"{id}","created_at":1,"kind":1,"tags":[],"content":"","sig":"{id}{id}"}}"#
        );
        let ReceivedMessage::Event { subscription, event } = heard(&format!(r#"["EVENT","a",{event}]"#))
        else {
            panic!("expected an event")
        };
        assert_eq!((subscription.as_str(), event.created_at), ("a", 1));
        let id = EventId::from_hex(&id).unwrap();
        assert_eq!(
            heard(&format!(r#"["OK","{}",false,"blocked: no"]"#, id.to_hex())),
            ReceivedMessage::Ok { id, accepted: false, reason: "blocked: no".into() }
        );
        assert_eq!(
            heard(&format!(r#"["OK","{}",true]"#, id.to_hex())),
            ReceivedMessage::Ok { id, accepted: true, reason: String::new() }
        );
        assert_eq!(
            heard(r#"["CLOSED","a","error: shutting down"]"#),
            ReceivedMessage::Closed { subscription: "a".into(), reason: "error: shutting down".into() }
        );
        assert_eq!(heard(r#"["NOTICE","hello"]"#), ReceivedMessage::Notice("hello".into()));
    }

    #[test]
    fn reads_whether_there_is_more() {
        for (text, is_last) in [
            (r#"["EOSE","a"]"#, false),
            (r#"["EOSE","a",["more"]]"#, false),
            (r#"["EOSE","a",["finish"]]"#, true),
        ] {
            assert_eq!(heard(text), ReceivedMessage::EndOfStored { subscription: "a".into(), is_last });
        }
    }

    #[test]
    fn reads_challenges_and_reconciliations() {
        assert_eq!(heard(r#"["AUTH","challenge"]"#), ReceivedMessage::Auth("challenge".into()));
        assert_eq!(
            heard(r#"["NEG-MSG","a","61FF00"]"#),
            ReceivedMessage::Reconcile { subscription: "a".into(), message: vec![0x61, 0xff, 0] }
        );
        assert_eq!(
            heard(r#"["NEG-ERR","a","blocked: too big",1000]"#),
            ReceivedMessage::ReconcileRefused { subscription: "a".into(), reason: "blocked: too big".into() }
        );
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
            r#"["EVENT","a",{}]"#,
            r#"["OK","00",true,""]"#,
            r#"["OK",null,true,""]"#,
            r#"["EOSE"]"#,
            r#"["EOSE",1]"#,
            r#"["NEG-MSG","a","xyz"]"#,
            &deep,
        ] {
            assert_eq!(heard(text), ReceivedMessage::Other, "{text:.30}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"\[?("(EVENT|OK|EOSE|CLOSED|AUTH|NEG-MSG|NEG-ERR)")?,?.{0,60}\]?"#) {
            let _ = ReceivedMessage::from_json(&text);
        }
    }
}
