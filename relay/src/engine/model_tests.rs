//! The engine against a simple model: the store's model (a list of events), a matcher that evaluates every filter, and
//! a map of subscriptions. The engine may forget its memory between any two inputs; the model never does.

#![allow(clippy::arithmetic_side_effects)]
#![allow(clippy::needless_update, reason = "the configuration may get more fields")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openagents_host::native::Sqlite;
use openagents_host::{Engine, Kind, Timestamp, VerifiedEvent};
use proptest::prelude::*;

use super::{Effect, Input, Relay, RelayConfig};
use crate::admission::access::Access;
use crate::fixtures;
use crate::limits::Limits;
use crate::session::Origin;
use crate::session::{ConnectionId, Ticket};
use crate::store::Insertion;
use crate::store::tests::model::{self, Reader};
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::Completeness;

const NAMES: [&str; 4] = ["a", "b\"\\", "é🦀", " "];
const CONNECTIONS: usize = 3;
const PRIVATE: [u16; 2] = [4, 1_059];

#[derive(Clone, Debug)]
enum RelayStep {
    /// An event of the pool, by index.
    Event(usize, usize),
    Ephemeral(usize, u64),
    Request(usize, usize, Vec<Filter>),
    CloseSubscription(usize, usize),
    /// A connection authenticates with this key.
    Identify(usize, usize),
    Reconnect(usize),
    Nonsense(usize, String),
    Publish(usize),
    Query(Vec<Filter>),
    Later(u64),
    Forget,
}

fn step() -> impl Strategy<Value = RelayStep> {
    let connection = || 0..CONNECTIONS;
    let filters = |count| prop::collection::vec(fixtures::filter(), count);
    prop_oneof![
        9 => (connection(), fixtures::pooled()).prop_map(|(connection, event)| RelayStep::Event(connection, event)),
        1 => (connection(), 1..4_u64).prop_map(|(connection, at)| RelayStep::Ephemeral(connection, at)),
        5 => (connection(), 0..NAMES.len(), filters(0..4)).prop_map(|(connection, name, filters)| RelayStep::Request(connection, name, filters)),
        2 => (connection(), 0..NAMES.len()).prop_map(|(connection, name)| RelayStep::CloseSubscription(connection, name)),
        1 => (connection(), 0..3_usize).prop_map(|(connection, key)| RelayStep::Identify(connection, key)),
        1 => connection().prop_map(RelayStep::Reconnect),
        1 => (connection(), r#"\[?"(EVENT|REQ|CLOSE|X)?"[\[\]{}":,#a-z0-9 ]{0,12}"#).prop_map(|(connection, text)| RelayStep::Nonsense(connection, text)),
        2 => fixtures::pooled().prop_map(RelayStep::Publish),
        2 => filters(0..4).prop_map(RelayStep::Query),
        1 => (0..3_u64).prop_map(RelayStep::Later),
        4 => Just(RelayStep::Forget),
    ]
}

/// A model of the relay: its store and subscriptions.
struct RelayModel {
    limits: Limits,
    store: model::StoreModel,
    subscriptions: BTreeMap<(usize, usize), Vec<Filter>>,
    readers: [Reader; CONNECTIONS],
}

fn reader(private_kinds: &[u16]) -> Reader {
    Reader { private_kinds: private_kinds.to_vec(), pubkeys: BTreeSet::new() }
}

impl RelayModel {
    /// The prefix of the answer to an event, and which connections receive the event.
    fn publish(
        &mut self,
        now: u64,
        connection: Option<usize>,
        event: &VerifiedEvent,
    ) -> (&'static str, BTreeSet<(usize, usize)>) {
        let is_ephemeral = event.kind == Kind(20_001);
        if !is_ephemeral {
            let prefix = match self.store.publish(now, event, event.kind == Kind(62)) {
                Insertion::Inserted => "",
                // A private event is unknown to those who may not read it.
                Insertion::Duplicate | Insertion::Superseded
                    if connection.is_some_and(|connection| !self.readers[connection].may_read(event)) =>
                {
                    return ("", BTreeSet::new());
                }
                Insertion::Duplicate => "duplicate",
                Insertion::Superseded | Insertion::Expired => "invalid",
                Insertion::Deleted | Insertion::Vanished => "blocked",
                Insertion::Crowded => "rate-limited",
            };
            if !prefix.is_empty() {
                return (prefix, BTreeSet::new());
            }
        }
        let hears = |(connection, _): &(usize, usize), filters: &[Filter]| {
            self.readers[*connection].may_read(event)
                && filters.iter().any(|filter| model::matches(filter, event))
        };
        let told: BTreeSet<_> = self
            .subscriptions
            .iter()
            .filter(|(key, filters)| hears(key, filters))
            .map(|(key, _)| *key)
            .collect();
        (if is_ephemeral && told.is_empty() { "mute" } else { "" }, told)
    }
}

/// The engine and its model.
struct Pair {
    relay: Relay<Sqlite>,
    model: RelayModel,
    now: Timestamp,
    numbers: [u64; CONNECTIONS],
}

/// The messages to each connection.
type Told = Vec<(usize, serde_json::Value)>;

impl Pair {
    fn new() -> Self {
        let limits = Limits { max_subscriptions: 3, default_limit: 6, max_limit: 7, ..Limits::default() };
        let config = RelayConfig {
            limits: limits.clone(),
            handover: [Kind(5_050)].into_iter().collect(),
            access: Access { hosts: ["relay.example".to_owned()].into(), ..Access::default() },
            ..RelayConfig::default()
        };
        let mut pair = Self {
            relay: Relay::open(Sqlite::in_memory().unwrap(), config).unwrap(),
            model: RelayModel {
                limits,
                store: model::StoreModel::default(),
                subscriptions: BTreeMap::new(),
                readers: [(); CONNECTIONS].map(|()| reader(&PRIVATE)),
            },
            now: Timestamp::from_seconds(3),
            numbers: [0, 1, 2],
        };
        for number in pair.numbers {
            pair.open(number);
        }
        pair
    }

    fn open(&mut self, number: u64) {
        let origin = Origin { challenge: "challenge".into(), ..Origin::default() };
        self.handle(&Input::Open { connection: ConnectionId::new(number), origin });
    }

    fn handle(&mut self, input: &Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.relay.handle(self.now, input, &mut effects);
        effects
    }

    /// Sends a message on a connection; the event is verified here or by the engine.
    fn say(&mut self, connection: usize, text: &str, checked_before: bool) -> Told {
        let of = ConnectionId::new(self.numbers[connection]);
        let admitted = self.relay.admit(self.now, of, text);
        let message = if checked_before { admitted.verify() } else { admitted };
        let effects = self.handle(&Input::Message { connection: of, message });
        self.told(effects)
    }

    fn told(&self, effects: Vec<Effect>) -> Told {
        let number = |connection: ConnectionId| {
            self.numbers.iter().position(|number| ConnectionId::new(*number) == connection).unwrap()
        };
        let sent = |effect| match effect {
            Effect::Send { connection, message } => {
                Some((number(connection), serde_json::from_str(&message.to_json()).unwrap()))
            }
            Effect::Failed(error) => panic!("{error}"),
            _ => None,
        };
        effects.into_iter().filter_map(sent).collect()
    }

    fn take(&mut self, step: &RelayStep, checked_before: bool) {
        match step {
            RelayStep::Event(connection, number) => {
                self.event(*connection, &fixtures::pool()[*number], checked_before);
            }
            RelayStep::Ephemeral(connection, at) => {
                self.event(*connection, &fixtures::signed(20_001, *at, &[&["t", "a"]]), checked_before);
            }
            RelayStep::Publish(number) => {
                let event = &fixtures::pool()[*number];
                let mut effects = self.handle(&Input::Publish { ticket: Ticket(1), event: event.clone() });
                let Some(Effect::Published { outcome, .. }) = effects.pop() else { panic!("no outcome") };
                let heard = self.told(effects);
                self.expect_outcome(None, event, outcome.is_accepted(), &outcome.to_string(), &heard);
            }
            RelayStep::Request(connection, name, filters) => {
                let texts: String = filters.iter().map(|filter| format!(",{}", json(filter))).collect();
                let text = format!("[\"REQ\",{}{texts}]", json(&NAMES[*name]));
                let told = self.say(*connection, &text, checked_before);
                self.expect_answer(*connection, *name, filters, told);
            }
            RelayStep::CloseSubscription(connection, name) => {
                let text = format!("[\"CLOSE\",{}]", json(&NAMES[*name]));
                assert_eq!(self.say(*connection, &text, checked_before), []);
                self.model.subscriptions.remove(&(*connection, *name));
            }
            RelayStep::Identify(connection, key) => {
                let tags: [&[&str]; 2] = [&["challenge", "challenge"], &["relay", "wss://relay.example"]];
                let keys = fixtures::keys(*key);
                let event = fixtures::signed_by(&keys, 22_242, 5, &tags, "");
                let told = self.say(*connection, &format!("[\"AUTH\",{}]", event.json()), checked_before);
                assert_eq!(told, [(*connection, serde_json::json!(["OK", event.id.to_hex(), true, ""]))]);
                self.model.readers[*connection].pubkeys.insert(keys.public_key());
            }
            RelayStep::Reconnect(connection) => {
                let number = &mut self.numbers[*connection];
                let gone = std::mem::replace(number, *number + 10);
                let number = *number;
                assert_eq!(self.handle(&Input::Close(ConnectionId::new(gone))), []);
                self.open(number);
                self.model.subscriptions.retain(|(of, _), _| of != connection);
                self.model.readers[*connection] = reader(&PRIVATE);
            }
            RelayStep::Nonsense(connection, text) => {
                let told = self.say(*connection, text, checked_before);
                let [(to, answer)] = &told[..] else { panic!("{text}: {told:?}") };
                assert!(to == connection && (answer[0] == "NOTICE" || answer[0] == "CLOSED"), "{answer}");
            }
            RelayStep::Query(filters) => {
                let input = Input::Query { ticket: Ticket(1), filters: filters.clone() };
                let Some(Effect::Found { events: Ok(found), .. }) = self.handle(&input).pop() else {
                    panic!("no answer")
                };
                let limits = self.model.limits.for_internal_queries();
                let (expected, _) =
                    self.model.store.answer(self.now.as_seconds(), filters, &limits, &reader(&[]));
                assert_eq!(found.iter().map(|event| &**event).collect::<Vec<_>>(), expected);
            }
            RelayStep::Later(seconds) => {
                self.now = self.now + Duration::from_secs(*seconds);
                let mut effects = Vec::new();
                self.relay.alarm(self.now, &mut effects);
                assert_eq!(self.told(effects), []);
            }
            RelayStep::Forget => self.relay.forget(self.now),
        }
    }

    fn event(&mut self, connection: usize, event: &VerifiedEvent, checked_before: bool) {
        let told = self.say(connection, &format!("[\"EVENT\",{}]", event.json()), checked_before);
        let ((to, answer), heard) = told.split_first().expect("an OK");
        assert_eq!((*to, &answer[0], &answer[1]), (connection, &"OK".into(), &event.id.to_hex().into()));
        self.expect_outcome(Some(connection), event, answer[2] == true, answer[3].as_str().unwrap(), heard);
    }

    fn expect_outcome(
        &mut self,
        connection: Option<usize>,
        event: &VerifiedEvent,
        accepted: bool,
        text: &str,
        heard: &[(usize, serde_json::Value)],
    ) {
        let (prefix, told) = self.model.publish(self.now.as_seconds(), connection, event);
        assert_eq!(text.split(": ").next(), Some(prefix), "{text}");
        assert_eq!(accepted, ["", "duplicate"].contains(&prefix), "{text}");
        let told = told.iter().map(|(to, name)| (*to, serde_json::json!(["EVENT", NAMES[*name], **event])));
        let (mut heard, mut expected) = (heard.to_vec(), told.collect::<Told>());
        // The order of subscriptions is not specified.
        heard.sort_by_key(|(to, message)| (*to, message[1].to_string()));
        expected.sort_by_key(|(to, message)| (*to, message[1].to_string()));
        assert_eq!(heard, expected);
    }

    fn expect_answer(&mut self, connection: usize, name: usize, filters: &[Filter], told: Told) {
        assert!(told.iter().all(|(to, _)| *to == connection));
        let key = (connection, name);
        let mut told: Vec<_> = told.into_iter().map(|(_, message)| message).collect();
        let last = told.pop().expect("an answer");
        assert_eq!(last[1], NAMES[name]);
        if last[0] == "CLOSED" {
            // The challenge comes before the first refusal that requires authentication.
            told.retain(|message| message[0] != "AUTH");
            assert_eq!(told, [serde_json::Value::Null; 0]);
            let prefix = last[2].as_str().and_then(|reason| reason.split(": ").next()).unwrap();
            let others =
                self.model.subscriptions.keys().filter(|other| other.0 == connection && **other != key);
            let wants_private = |filter: &Filter| {
                filter
                    .kinds
                    .as_ref()
                    .is_some_and(|kinds| PRIVATE.iter().any(|kind| kinds.contains(&Kind(*kind))))
            };
            assert!(
                match prefix {
                    "invalid" => filters.is_empty(),
                    "auth-required" => {
                        self.model.readers[connection].pubkeys.is_empty() && filters.iter().any(wants_private)
                    }
                    "restricted" => {
                        others.count() >= self.model.limits.max_subscriptions
                            || filters.iter().any(wants_private)
                    }
                    _ => false,
                },
                "{last}"
            );
            self.model.subscriptions.remove(&key);
            return;
        }
        self.model.subscriptions.insert(key, filters.to_vec());
        let of_connection = self.model.subscriptions.keys().filter(|other| other.0 == connection).count();
        assert!(!filters.is_empty() && of_connection <= self.model.limits.max_subscriptions);
        let reader = &self.model.readers[connection];
        let (now, limits) = (self.now.as_seconds(), &self.model.limits);
        let (expected, completeness) = self.model.store.answer(now, filters, limits, reader);
        let event = |json: &String| format!("[\"EVENT\",{},{json}]", self::json(&NAMES[name]));
        let expected: Vec<serde_json::Value> =
            expected.iter().map(|json| serde_json::from_str(&event(json)).unwrap()).collect();
        assert_eq!(told, expected);
        let hint = match completeness {
            Completeness::Finished => serde_json::json!(["EOSE", NAMES[name], ["finish"]]),
            Completeness::More => serde_json::json!(["EOSE", NAMES[name], ["more"]]),
            Completeness::Unknown => serde_json::json!(["EOSE", NAMES[name]]),
        };
        assert_eq!(last, hint);
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn behaves_like_the_model_even_if_memory_is_lost() {
    let steps = prop::collection::vec((any::<bool>(), step()), 50..400);
    fixtures::try_many("engine and model", 24, &steps, |steps| {
        let mut pair = Pair::new();
        for (checked_before, step) in &steps {
            pair.take(step, *checked_before);
        }
        pair.take(&RelayStep::Query(vec![Filter::new()]), false);
        Ok(())
    });
}
