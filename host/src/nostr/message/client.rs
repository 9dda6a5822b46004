//! Messages from client to relay (NIP-01, NIP-42, NIP-45, NIP-77): written by clients, parsed by relays.

use std::borrow::Cow;
use std::fmt;

use crate::JsonObject;
use crate::nostr::bytes::EventId;
use crate::nostr::event::{Event, VerifiedEvent};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{RelayMessage, SubscriptionId};
use crate::nostr::filter::Filter;
use crate::nostr::reason::{Outcome, Reason};

/// A message of a client. Its event is not verified unless `E` is a [`VerifiedEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage<E = Event> {
    /// `EVENT`: store this event and pass it on.
    Event(E),
    /// `REQ`: send the stored and new events that match any of these filters.
    Request {
        /// The id of the subscription, chosen by the client.
        subscription: SubscriptionId,
        /// At least one filter.
        filters: Vec<Filter>,
    },
    /// `CLOSE`: end this subscription.
    Close(SubscriptionId),
    /// `COUNT`: how many stored events match any of these filters (NIP-45)?
    Count {
        /// The id of the query, chosen by the client.
        subscription: SubscriptionId,
        /// At least one filter.
        filters: Vec<Filter>,
    },
    /// `AUTH`: the answer to the relay's challenge (NIP-42).
    Auth(E),
    /// `NEG-OPEN`, `NEG-MSG`, `NEG-CLOSE`: find out which events each side lacks (NIP-77).
    Reconcile {
        /// The id of the reconciliation, chosen by the client; independent of subscription ids.
        subscription: SubscriptionId,
        /// The step of the reconciliation.
        step: ReconcileStep,
    },
}

/// A step of a reconciliation (NIP-77). Its messages are those of the Negentropy protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconcileStep {
    /// `NEG-OPEN`: start.
    Open {
        /// The events to compare.
        filter: Box<Filter>,
        /// The client's first message.
        message: Vec<u8>,
    },
    /// `NEG-MSG`: the client's next message.
    Continue(Vec<u8>),
    /// `NEG-CLOSE`: end.
    Close,
}

/// A text that is not a valid client message, with what is needed to answer it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    sender_waits_for: Awaited,
    reason: Reason,
}

/// The answer that the sender of a text awaits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Awaited {
    /// The `OK` for this event.
    Event(EventId),
    /// The `EOSE` of this subscription, or the answer to this `COUNT`.
    Subscription(SubscriptionId),
    /// The next message of this reconciliation.
    Reconciliation(SubscriptionId),
    /// Unknown.
    Nothing,
}

impl Malformed {
    /// Refuses a text for a reason other than its form; addresses the refusal as well as the text allows.
    #[must_use]
    pub fn refuse(text: &str, reason: Reason) -> Self {
        Self { sender_waits_for: awaited(text), reason }
    }

    fn notice(text: &'static str) -> Self {
        Self { sender_waits_for: Awaited::Nothing, reason: Reason::invalid(text) }
    }

    fn reconciliation(subscription: &str, reason: impl Into<Reason>) -> Self {
        let subscription = SubscriptionId::unchecked(subscription);
        Self { sender_waits_for: Awaited::Reconciliation(subscription), reason: reason.into() }
    }

    fn request(subscription: &str, reason: impl Into<Reason>) -> Self {
        let subscription = SubscriptionId::unchecked(subscription);
        Self { sender_waits_for: Awaited::Subscription(subscription), reason: reason.into() }
    }

    /// The answer: `OK`, `CLOSED`, `NEG-ERR` or, if the sender awaits none of these, `NOTICE`.
    #[must_use]
    pub fn into_answer(self) -> RelayMessage {
        match self.sender_waits_for {
            Awaited::Event(id) => RelayMessage::Ok { id, outcome: Outcome::Refused(self.reason) },
            Awaited::Subscription(subscription) => RelayMessage::Closed { subscription, reason: self.reason },
            Awaited::Reconciliation(subscription) => {
                RelayMessage::ReconcileRefused { subscription, reason: self.reason }
            }
            Awaited::Nothing => RelayMessage::Notice(self.reason.to_string().into()),
        }
    }
}

impl ClientMessage {
    /// Parses a message strictly.
    ///
    /// ```
    /// use openagents_host::nostr::ClientMessage;
    ///
    /// let error = ClientMessage::parse(r#"["REQ","feed",{"kinds":"1"}]"#).unwrap_err();
    /// assert_eq!(
    ///     error.into_answer().to_json(),
    ///     r#"["CLOSED","feed","invalid: \"kinds\" must be a list of integers"]"#,
    /// );
    /// ```
    ///
    /// # Errors
    /// What is wrong, and how to answer.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let elements = elements(text)?;
        let (verb, rest) = elements.split_first().ok_or_else(|| Malformed::notice(EXPECTED))?;
        match (verb_of(verb), rest) {
            (Some(Verb::Event), [event]) => match Event::from_json(event.get()) {
                Ok(event) => Ok(Self::Event(event)),
                Err(error) => Err(malformed_event(event, &error)),
            },
            (Some(Verb::Event), rest) => {
                let reason = Reason::invalid("expected [\"EVENT\", <event>]");
                Err(Malformed {
                    sender_waits_for: rest.first().map_or(Awaited::Nothing, |event| event_id(event)),
                    reason,
                })
            }
            (Some(Verb::Auth), [event]) => match Event::from_json(event.get()) {
                Ok(event) => Ok(Self::Auth(event)),
                Err(error) => Err(malformed_event(event, &error)),
            },
            (Some(Verb::Auth), rest) => {
                let reason = Reason::invalid("expected [\"AUTH\", <signed event>]");
                Err(Malformed {
                    sender_waits_for: rest.first().map_or(Awaited::Nothing, |event| event_id(event)),
                    reason,
                })
            }
            (Some(Verb::Request), [name, filters @ ..]) => {
                let (subscription, filters) = request(name, filters)?;
                Ok(Self::Request { subscription, filters })
            }
            (Some(Verb::Count), [name, filters @ ..]) => {
                let (subscription, filters) = request(name, filters)?;
                Ok(Self::Count { subscription, filters })
            }
            (Some(Verb::Request), []) => {
                Err(Malformed::notice("expected [\"REQ\", <subscription id>, <filter>, ...]"))
            }
            (Some(Verb::Count), []) => {
                Err(Malformed::notice("expected [\"COUNT\", <subscription id>, <filter>, ...]"))
            }
            (Some(Verb::Reconcile(step)), [name, rest @ ..]) => reconciliation(step, name, rest),
            (Some(Verb::Reconcile(_)), []) => Err(Malformed::notice(
                "expected [\"NEG-OPEN\", <subscription id>, <filter>, <message in hex>]",
            )),
            (Some(Verb::Close), [name]) => string(name)
                .and_then(|name| SubscriptionId::new(&name).ok())
                .map(Self::Close)
                .ok_or_else(|| Malformed::notice("CLOSE needs a subscription id of 1 to 64 characters")),
            (Some(Verb::Close), _) => Err(Malformed::notice("expected [\"CLOSE\", <subscription id>]")),
            (None, _) => Err(Malformed {
                sender_waits_for: Awaited::Nothing,
                reason: Reason::unsupported(format!(
                    "{} is not a message that this relay knows; it accepts EVENT, REQ, CLOSE, COUNT, AUTH and NEG-OPEN",
                    Excerpt(verb.get())
                )),
            }),
        }
    }
}

impl ClientMessage<VerifiedEvent> {
    /// The message as JSON.
    ///
    /// ```
    /// use openagents_host::nostr::{ClientMessage, Filter, SubscriptionId};
    ///
    /// let subscription = SubscriptionId::new("feed").unwrap();
    /// let request = ClientMessage::Request { subscription, filters: vec![Filter::new().kinds([1]).limit(20)] };
    /// assert_eq!(request.to_json(), r#"["REQ","feed",{"kinds":[1],"limit":20}]"#);
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Event(event) => format!(r#"["EVENT",{}]"#, event.json()),
            Self::Auth(event) => format!(r#"["AUTH",{}]"#, event.json()),
            Self::Request { subscription, filters } => with_filters("REQ", subscription, filters),
            Self::Count { subscription, filters } => with_filters("COUNT", subscription, filters),
            Self::Close(subscription) => format!(r#"["CLOSE",{}]"#, subscription.as_json()),
            Self::Reconcile { subscription, step } => {
                let subscription = subscription.as_json();
                let hex = |message: &[u8]| base16ct::lower::encode_string(message);
                match step {
                    ReconcileStep::Open { filter, message } => {
                        format!(r#"["NEG-OPEN",{subscription},{},"{}"]"#, json(filter), hex(message))
                    }
                    ReconcileStep::Continue(message) => {
                        format!(r#"["NEG-MSG",{subscription},"{}"]"#, hex(message))
                    }
                    ReconcileStep::Close => format!(r#"["NEG-CLOSE",{subscription}]"#),
                }
            }
        }
    }
}

fn with_filters(verb: &str, subscription: &SubscriptionId, filters: &[Filter]) -> String {
    let mut text = format!(r#"["{verb}",{}"#, subscription.as_json());
    for filter in filters {
        text.push(',');
        text.push_str(&json(filter));
    }
    text.push(']');
    text
}

fn json(filter: &Filter) -> String {
    // A filter always serializes.
    serde_json::to_string(filter).unwrap_or_default()
}

const EXPECTED: &str = "expected a JSON array that begins with \"EVENT\", \"REQ\" or \"CLOSE\"";

enum Verb {
    Event,
    Request,
    Close,
    Count,
    Auth,
    Reconcile(ReconcileVerb),
}

enum ReconcileVerb {
    Open,
    Continue,
    Close,
}

fn elements(text: &str) -> Result<Vec<&RawValue>, Malformed> {
    serde_json::from_str(text).map_err(|_| Malformed::notice(EXPECTED))
}

fn verb_of(verb: &RawValue) -> Option<Verb> {
    // Borrowed unless JSON escapes are used.
    match &*serde_json::from_str::<Spelled<'_>>(verb.get()).ok()?.0 {
        "EVENT" => Some(Verb::Event),
        "REQ" => Some(Verb::Request),
        "CLOSE" => Some(Verb::Close),
        "COUNT" => Some(Verb::Count),
        "AUTH" => Some(Verb::Auth),
        "NEG-OPEN" => Some(Verb::Reconcile(ReconcileVerb::Open)),
        "NEG-MSG" => Some(Verb::Reconcile(ReconcileVerb::Continue)),
        "NEG-CLOSE" => Some(Verb::Reconcile(ReconcileVerb::Close)),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Spelled<'a>(#[serde(borrow)] Cow<'a, str>);

fn request(name: &RawValue, filters: &[&RawValue]) -> Result<(SubscriptionId, Vec<Filter>), Malformed> {
    let Some(name) = string(name) else {
        return Err(Malformed::notice("a subscription id must be a string"));
    };
    let subscription = SubscriptionId::new(&name).map_err(|error| Malformed::request(&name, error))?;
    if filters.is_empty() {
        return Err(Malformed::request(&name, Reason::invalid("at least one filter is needed")));
    }
    let filters: Result<Vec<Filter>, _> =
        filters.iter().map(|filter| Filter::from_json(filter.get())).collect();
    let filters = filters.map_err(|error| Malformed::request(&name, error))?;
    Ok((subscription, filters))
}

fn reconciliation(
    verb: ReconcileVerb,
    name: &RawValue,
    rest: &[&RawValue],
) -> Result<ClientMessage, Malformed> {
    let Some(name) = string(name) else {
        return Err(Malformed::notice("a subscription id must be a string"));
    };
    let refused = |reason: Reason| Malformed::reconciliation(&name, reason);
    let subscription = SubscriptionId::new(&name).map_err(|error| refused(error.into()))?;
    let message = |message: &RawValue| {
        let hex = string(message).unwrap_or_default();
        let bytes = base16ct::mixed::decode_vec(&hex).ok().filter(|bytes| !bytes.is_empty());
        bytes.ok_or_else(|| refused(Reason::invalid("the message must be hex, and not empty")))
    };
    let step = match (verb, rest) {
        (ReconcileVerb::Open, [filter, first]) => ReconcileStep::Open {
            filter: Box::new(Filter::from_json(filter.get()).map_err(|error| refused(error.into()))?),
            message: message(first)?,
        },
        (ReconcileVerb::Continue, [next]) => ReconcileStep::Continue(message(next)?),
        (ReconcileVerb::Close, []) => ReconcileStep::Close,
        (ReconcileVerb::Open, _) => {
            return Err(refused(Reason::invalid(
                "expected [\"NEG-OPEN\", <subscription id>, <filter>, <message in hex>]",
            )));
        }
        (ReconcileVerb::Continue, _) => {
            return Err(refused(Reason::invalid(
                "expected [\"NEG-MSG\", <subscription id>, <message in hex>]",
            )));
        }
        (ReconcileVerb::Close, _) => {
            return Err(Malformed::notice("expected [\"NEG-CLOSE\", <subscription id>]"));
        }
    };
    Ok(ClientMessage::Reconcile { subscription, step })
}

fn malformed_event(event: &RawValue, error: &serde_json::Error) -> Malformed {
    let reason =
        Reason::invalid(format!("the event is not what NIP-01 describes: {}", Excerpt(&error.to_string())));
    Malformed { sender_waits_for: event_id(event), reason }
}

fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

fn event_id(event: &RawValue) -> Awaited {
    #[derive(Deserialize)]
    struct WithId {
        id: EventId,
    }
    serde_json::from_str(event.get()).map_or(Awaited::Nothing, |JsonObject(WithId { id })| Awaited::Event(id))
}

fn awaited(text: &str) -> Awaited {
    let Ok(elements) = elements(text) else {
        return Awaited::Nothing;
    };
    match elements.as_slice() {
        [verb, event, ..] if matches!(verb_of(verb), Some(Verb::Event | Verb::Auth)) => event_id(event),
        [verb, name, ..] => {
            let Some(name) = string(name).map(|name| SubscriptionId::unchecked(&name)) else {
                return Awaited::Nothing;
            };
            match verb_of(verb) {
                Some(Verb::Request | Verb::Count) => Awaited::Subscription(name),
                Some(Verb::Reconcile(ReconcileVerb::Open | ReconcileVerb::Continue)) => {
                    Awaited::Reconciliation(name)
                }
                _ => Awaited::Nothing,
            }
        }
        _ => Awaited::Nothing,
    }
}

/// The beginning of an untrusted text: enough to recognize it, without repeating a megabyte.
struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 160;
        match self.0.char_indices().nth(SHOWN).and_then(|(end, _)| self.0.get(..end)) {
            Some(beginning) => write!(f, "{beginning}…"),
            None => f.write_str(self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ClientMessage, ReconcileStep, SubscriptionId};
    use crate::nostr::fixtures;

    fn answer(text: &str) -> serde_json::Value {
        let answer = ClientMessage::parse(text).unwrap_err().into_answer().to_json();
        serde_json::from_str(&answer).unwrap()
    }

    fn assert_answer(text: &str, expected: &[&str], within: &str) {
        let answer = answer(text);
        let elements: Vec<String> = answer
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e.as_str().map_or_else(|| e.to_string(), Into::into))
            .collect();
        let (last, first) = elements.split_last().unwrap();
        assert_eq!(first, expected, "{text:.80}");
        assert!(last.contains(within), "{text:.80}: {last}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = ClientMessage::parse(&text);
        }

        #[test]
        fn no_array_makes_it_panic(text in r#"\["(EVENT|REQ|CLOSE)"[\[\]{}":,#a-z0-9 ]{0,40}"#) {
            if let Err(malformed) = ClientMessage::parse(&text) {
                let json = malformed.into_answer().to_json();
                prop_assert!(serde_json::from_str::<Vec<serde_json::Value>>(&json).is_ok());
            }
        }

        #[test]
        fn reads_what_clients_write(event in fixtures::event(), filters in prop::collection::vec(fixtures::filter(), 1..4), name in "\\PC{1,64}") {
            let text = format!("[ \"EVENT\" , {} ] ", event.json());
            let ClientMessage::Event(read) = ClientMessage::parse(&text).unwrap() else { panic!() };
            prop_assert_eq!(&read, &*event);

            let request = |number: u8| {
                let subscription = SubscriptionId::new(&name).unwrap();
                let filters = filters.clone();
                match number {
                    0 => ClientMessage::Request { subscription, filters },
                    1 => ClientMessage::Count { subscription, filters },
                    2 => ClientMessage::Close(subscription),
                    3 => {
                        let filter = Box::new(filters[0].clone());
                        let step = ReconcileStep::Open { filter, message: vec![0x61, 7] };
                        ClientMessage::Reconcile { subscription, step }
                    }
                    4 => ClientMessage::Reconcile { subscription, step: ReconcileStep::Continue(vec![0xff]) },
                    _ => ClientMessage::Reconcile { subscription, step: ReconcileStep::Close },
                }
            };
            for number in 0..6 {
                let written = request(number).to_json();
                let read = ClientMessage::parse(&written).unwrap();
                prop_assert_eq!(format!("{read:?}"), format!("{:?}", request(number)));
            }
        }
    }

    #[test]
    fn answers_with_a_notice_what_it_cannot_attribute() {
        for text in [
            "",
            "x",
            "{}",
            "[]",
            "[1]",
            "null",
            "[\"EVENT\"",
            "\"EVENT\"",
            "[\"REQ\"]",
            "[\"REQ\",7,{}]",
            "[\"CLOSE\"]",
        ] {
            assert_answer(text, &["NOTICE"], "");
        }
        assert_answer(r#"["CLOSE",""]"#, &["NOTICE"], "1 to 64");
        assert_answer(r#"["CLOSE","a","b"]"#, &["NOTICE"], "CLOSE");
        assert_answer(r#"["COUNTS","a",{}]"#, &["NOTICE"], "EVENT, REQ, CLOSE, COUNT");
        assert_answer(r#"["EVENT",{"id":"nonsense"}]"#, &["NOTICE"], "invalid: ");
        assert_answer(r#"["EVENT"]"#, &["NOTICE"], "<event>");
    }

    #[test]
    fn knows_a_verb_however_json_spells_it() {
        assert_answer(r#"["\u0052EQ","s"]"#, &["CLOSED", "s"], "at least one filter");
        assert_answer(r#"["\u0052EQ\u0000","s"]"#, &["NOTICE"], "unsupported: ");
    }

    #[test]
    fn answers_under_the_name_of_the_subscription() {
        assert_answer(r#"["REQ","s"]"#, &["CLOSED", "s"], "invalid: at least one filter is needed");
        assert_answer(r#"["REQ","s",[]]"#, &["CLOSED", "s"], "invalid: a filter must be a JSON object");
        assert_answer(r#"["REQ","s",{},{"language":"x"}]"#, &["CLOSED", "s"], "unsupported: ");
        assert_answer(r#"["REQ","",{}]"#, &["CLOSED", ""], "1 to 64");
        let long = "x".repeat(65);
        assert_answer(&format!(r#"["REQ","{long}",{{}}]"#), &["CLOSED", &long], "1 to 64");
    }

    #[test]
    fn answers_for_the_event_when_its_id_can_be_read() {
        let event = fixtures::signed(1, 1, &[]);
        let id = event.id.to_hex();
        for (text, within) in [
            (event.json().replace("\"kind\":1", "\"kind\":\"1\""), "expected u16"),
            (event.json().replace("\"kind\":1", "\"kind\":70000"), "expected u16"),
            (event.json().replace("\"tags\":[]", "\"tags\":[[1]]"), "expected a string"),
            (event.json().replace("\"content\"", "\"contents\""), "missing field `content`"),
        ] {
            assert_answer(&format!("[\"EVENT\",{text}]"), &["OK", &id, "false"], within);
        }
        assert_answer(&format!("[\"EVENT\",{},1]", event.json()), &["OK", &id, "false"], "invalid: ");
    }

    #[test]
    fn survives_deep_nesting_and_long_strings() {
        for text in [
            "[".repeat(200_000),
            format!("[\"EVENT\",{}{}]", "[".repeat(100_000), "]".repeat(100_000)),
            format!("[\"REQ\",\"a\",{}1{}]", "{\"a\":".repeat(30_000), "}".repeat(30_000)),
            format!("\"{}\"", "a".repeat(1 << 20)),
            format!("[\"{}\"]", "a".repeat(1 << 20)),
        ] {
            let answer = answer(&text).to_string();
            assert!(answer.len() < 400, "{answer:.500}");
        }
    }
}
