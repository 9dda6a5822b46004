//! What a relay says.

use serde_json::value::RawValue;

use crate::event::{Event, EventId};

/// A message of a relay (NIP-01).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RelayMessage {
    Event {
        subscription: String,
        event: Event,
    },
    Ok {
        id: EventId,
        accepted: bool,
        reason: String,
    },
    EndOfStored {
        subscription: String,
    },
    Closed {
        subscription: String,
        reason: String,
    },
    /// Nothing that a client has to act on: a notice, a challenge (NIP-42), what is new or broken.
    Other,
}

impl RelayMessage {
    pub(super) fn from_json(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Other)
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&RawValue> = serde_json::from_str(text).ok()?;
        let string =
            |at: usize| parts.get(at).and_then(|part| serde_json::from_str::<String>(part.get()).ok());
        match string(0)?.as_str() {
            "EVENT" => Some(Self::Event {
                subscription: string(1)?,
                event: Event::from_json(parts.get(2)?.get()).ok()?,
            }),
            "OK" => Some(Self::Ok {
                id: EventId::from_hex(&string(1)?).ok()?,
                accepted: serde_json::from_str(parts.get(2)?.get()).ok()?,
                // NIP-01 demands it, but not every relay gives a reason with a yes.
                reason: string(3).unwrap_or_default(),
            }),
            "EOSE" => Some(Self::EndOfStored { subscription: string(1)? }),
            "CLOSED" => {
                Some(Self::Closed { subscription: string(1)?, reason: string(2).unwrap_or_default() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_messages_of_nip_01() {
        let id = "0".repeat(63) + "1";
        let event = format!(
            r#"{{"id":"{id}","pubkey":"{id}","created_at":1,"kind":1,"tags":[],"content":"","sig":"{id}{id}"}}"#
        );
        let RelayMessage::Event { subscription, event } =
            RelayMessage::from_json(&format!(r#"["EVENT","a",{event}]"#))
        else {
            panic!("expected an event")
        };
        assert_eq!((subscription.as_str(), event.created_at), ("a", 1));
        let id = EventId::from_hex(&id).unwrap();
        assert_eq!(
            RelayMessage::from_json(&format!(r#"["OK","{}",false,"blocked: no"]"#, id.to_hex())),
            RelayMessage::Ok { id, accepted: false, reason: "blocked: no".into() }
        );
        assert_eq!(
            RelayMessage::from_json(&format!(r#"["OK","{}",true]"#, id.to_hex())),
            RelayMessage::Ok { id, accepted: true, reason: String::new() }
        );
        assert_eq!(
            RelayMessage::from_json(r#"["EOSE","a"]"#),
            RelayMessage::EndOfStored { subscription: "a".into() }
        );
        assert_eq!(
            RelayMessage::from_json(r#"["CLOSED","a","error: shutting down"]"#),
            RelayMessage::Closed { subscription: "a".into(), reason: "error: shutting down".into() }
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
            r#"["NOTICE","hello"]"#,
            r#"["AUTH","challenge"]"#,
            r#"["EVENT","a"]"#,
            r#"["EVENT","a",{}]"#,
            r#"["OK","00",true,""]"#,
            r#"["OK",null,true,""]"#,
            r#"["EOSE"]"#,
            r#"["EOSE",1]"#,
            &deep,
        ] {
            assert_eq!(RelayMessage::from_json(text), RelayMessage::Other);
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"\[?("(EVENT|OK|EOSE|CLOSED)")?,?.{0,60}\]?"#) {
            RelayMessage::from_json(&text);
        }
    }
}
