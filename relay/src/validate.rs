//! Validation of a message by itself: form, limits, id and signature.

use openagents_host::nostr::VerifyError;
use openagents_host::{Event, EventId, Timestamp, VerifiedEvent};

use crate::limits::Limits;
use crate::reason::{Outcome, Reason};
use openagents_host::nostr::message::{ClientMessage, Malformed, RelayMessage};

/// The maximum length of a text that is parsed in order to address its refusal: a client that sends an event slightly
/// too large expects an `OK`. A longer text is skipped and refused with a `NOTICE`.
pub(crate) const fn max_readable_bytes(limits: &Limits) -> usize {
    limits.max_message_length.saturating_mul(2)
}

/// The answer to a text longer than [`max_readable_bytes`].
pub(crate) fn too_long(limits: &Limits) -> Reason {
    Reason::invalid(format!("a message can have at most {} bytes", limits.max_message_length))
}

/// Parses a message and checks the limits, which is cheap.
pub(crate) fn read(text: &str, limits: &Limits, now: Timestamp) -> Result<ClientMessage, RelayMessage> {
    if text.len() > limits.max_message_length {
        let readable = if text.len() > max_readable_bytes(limits) { "" } else { text };
        return Err(Malformed::refuse(readable, too_long(limits)).into_answer());
    }
    let message = ClientMessage::parse(text).map_err(Malformed::into_answer)?;
    match limits.admit(&message, now) {
        Ok(()) => Ok(message),
        Err(reason) => Err(refuse(message, reason)),
    }
}

/// Verifies a parsed message, which is expensive for events.
pub(crate) fn verify(message: ClientMessage) -> Result<ClientMessage<VerifiedEvent>, RelayMessage> {
    Ok(match message {
        ClientMessage::Event(event) => ClientMessage::Event(verified(event)?),
        ClientMessage::Auth(event) => ClientMessage::Auth(verified(event)?),
        ClientMessage::Count { subscription, filters } => ClientMessage::Count { subscription, filters },
        ClientMessage::Reconcile { subscription, step } => ClientMessage::Reconcile { subscription, step },
        ClientMessage::Request { subscription, filters } => ClientMessage::Request { subscription, filters },
        ClientMessage::Close(subscription) => ClientMessage::Close(subscription),
    })
}

/// Verifies an event, or returns the answer to its sender.
pub(crate) fn verified(event: Event) -> Result<VerifiedEvent, RelayMessage> {
    let id = event.id;
    event.verify().map_err(|error| forged(id, &error))
}

/// The answer to the sender of an event whose id or signature is wrong.
pub(crate) fn forged(id: EventId, error: &VerifyError) -> RelayMessage {
    RelayMessage::Ok { id, outcome: Outcome::Refused(Reason::invalid(error.to_string())) }
}

/// The answer that refuses a message.
pub(crate) fn refuse(message: ClientMessage, reason: Reason) -> RelayMessage {
    match message {
        ClientMessage::Event(event) | ClientMessage::Auth(event) => {
            RelayMessage::Ok { id: event.id, outcome: Outcome::Refused(reason) }
        }
        ClientMessage::Request { subscription, .. }
        | ClientMessage::Count { subscription, .. }
        | ClientMessage::Close(subscription) => RelayMessage::Closed { subscription, reason },
        ClientMessage::Reconcile { subscription, .. } => {
            RelayMessage::ReconcileRefused { subscription, reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use openagents_host::{Timestamp, UnsignedEvent, VerifiedEvent};

    use super::{read, verify};
    use crate::fixtures;
    use crate::limits::Limits;
    use openagents_host::nostr::message::{ClientMessage, RelayMessage};

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn check(text: &str, limits: &Limits) -> Result<ClientMessage<VerifiedEvent>, RelayMessage> {
        read(text, limits, NOW).and_then(verify)
    }

    fn refusal(text: &str, limits: &Limits) -> String {
        check(text, limits).unwrap_err().to_json()
    }

    fn small() -> Limits {
        Limits {
            max_event_tags: 2,
            max_content_length: 3,
            max_filters: 2,
            max_filter_values: 3,
            ..Limits::default()
        }
    }

    fn event(content: &str, tags: usize, created_at: u64) -> String {
        let event = UnsignedEvent::new(openagents_host::Kind(1), content)
            .tags(vec![vec!["t".to_owned()]; tags])
            .sign(&fixtures::keys(1), Timestamp::from_seconds(created_at));
        format!("[\"EVENT\",{}]", event.json())
    }

    #[test]
    fn passes_what_keeps_to_the_limits_exactly() {
        let now = NOW.as_seconds();
        for text in [event("é🦀x", 2, now + 900), event("", 0, 0), event("", 0, now)] {
            assert!(matches!(check(&text, &small()), Ok(ClientMessage::Event(_))), "{text}");
        }
        assert!(matches!(check(r#"["REQ","a",{},{}]"#, &small()), Ok(ClientMessage::Request { .. })));
        let values = r##"["REQ","a",{"kinds":[1,2],"#t":["a"]},{"kinds":[1,2,3]}]"##;
        assert!(matches!(check(values, &small()), Ok(ClientMessage::Request { .. })));
        assert!(matches!(check(r#"["CLOSE","a"]"#, &small()), Ok(ClientMessage::Close(_))));
    }

    #[test]
    fn names_the_limit_that_is_not_kept() {
        let now = NOW.as_seconds();
        let week = Limits { created_at_lower_limit: Some(604_800), ..small() };
        for (text, limits, within) in [
            (event("éééé", 0, now), &small(), "at most 3 characters"),
            (event("", 3, now), &small(), "at most 2 tags"),
            (event("", 0, now + 901), &small(), "900 seconds in the future"),
            (event("", 0, now - 604_801), &week, "604800 seconds in the past"),
            (r#"["REQ","a",{},{},{}]"#.to_owned(), &small(), r#"["CLOSED","a","invalid: at most 2 filters"#),
            (r#"["REQ","a",{},{"kinds":[1,2,3,4]}]"#.to_owned(), &small(), "at most 3 values"),
            (r#"["COUNT","a",{"kinds":[1,2,3,4]}]"#.to_owned(), &small(), "at most 3 values"),
            (r#"["NEG-OPEN","a",{"kinds":[1,2,3,4]},"61"]"#.to_owned(), &small(), "at most 3 values"),
        ] {
            let refusal = refusal(&text, limits);
            assert!(refusal.contains("invalid: ") && refusal.contains(within), "{refusal}");
        }
    }

    #[test]
    fn answers_a_message_that_is_too_long_as_what_it_was_meant() {
        let limits = Limits::default();
        let long = "x".repeat(limits.max_message_length);
        assert!(refusal(&event(&long, 0, 0), &limits).starts_with("[\"OK\""));
        assert!(
            refusal(&format!(r##"["REQ","a",{{"#t":["{long}"]}}]"##), &limits)
                .starts_with(r#"["CLOSED","a","invalid: "#)
        );
        assert!(refusal(&format!("\"{long}\""), &limits).starts_with("[\"NOTICE\",\"invalid: "));
        let longer = event(&"x".repeat(2 * limits.max_message_length), 0, 0);
        assert!(refusal(&longer, &limits).starts_with("[\"NOTICE\",\"invalid: "));
    }

    #[test]
    fn refuses_forged_events() {
        let text = event("one", 0, 5).replace("\"content\":\"one\"", "\"content\":\"two\"");
        assert!(refusal(&text, &Limits::default()).contains("invalid: the id is not the SHA-256"));
        let mut signed: serde_json::Value = serde_json::from_str(&event("one", 0, 5)).unwrap();
        let other: serde_json::Value = serde_json::from_str(&event("two", 0, 5)).unwrap();
        signed[1]["sig"] = other[1]["sig"].clone();
        assert!(refusal(&signed.to_string(), &Limits::default()).contains("invalid: the signature"));
    }
}
