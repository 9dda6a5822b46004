//! The whole engine against a model without any cleverness: a list of events, a matcher that asks every filter, and a map
//! of subscriptions. The engine may forget its memory between any two inputs; the model never does.
//!
//! Every run is another one. It prints its seed, and `RELAY_TEST_SEED=<seed>` repeats it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use openagents_host::event::Retention;
use openagents_host::native::Sqlite;
use openagents_host::{Engine, Kind, Timestamp, VerifiedEvent};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{ConnectionId, Effect, Input, Relay, RelayConfig, Ticket};
use crate::access::Access;
use crate::check::check;
use crate::filter::{Filter, OneOf};
use crate::fixtures;
use crate::limits::Limits;
use crate::reason::Outcome;
use crate::session::Origin;

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const NAMES: [&str; 4] = ["a", "b\"\\", "é🦀", " "];
const CONNECTIONS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Event(usize, VerifiedEvent),
    Request(usize, usize, Vec<Filter>),
    CloseSubscription(usize, usize),
    Reconnect(usize),
    Nonsense(usize, String),
    Publish(VerifiedEvent),
    Query(Vec<Filter>),
    Alarm,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let connection = || 0..CONNECTIONS;
    let event = || {
        prop_oneof![
            9 => fixtures::event(),
            1 => (1..4_u64).prop_map(|at| fixtures::signed(20_001, at, &[&["t", "a"]])),
        ]
    };
    let filters = |count| prop::collection::vec(fixtures::filter(), count);
    prop_oneof![
        8 => (connection(), event()).prop_map(|(connection, event)| Step::Event(connection, event)),
        5 => (connection(), 0..NAMES.len(), filters(0..4)).prop_map(|(connection, name, filters)| Step::Request(connection, name, filters)),
        2 => (connection(), 0..NAMES.len()).prop_map(|(connection, name)| Step::CloseSubscription(connection, name)),
        1 => connection().prop_map(Step::Reconnect),
        1 => (connection(), r#"\[?"(EVENT|REQ|CLOSE|X)?"[\[\]{}":,#a-z0-9 ]{0,12}"#).prop_map(|(connection, text)| Step::Nonsense(connection, text)),
        2 => event().prop_map(Step::Publish),
        2 => filters(0..4).prop_map(Step::Query),
        1 => Just(Step::Alarm),
        4 => Just(Step::Forget),
    ]
}

/// What a relay is, by NIP-01.
struct Model {
    limits: Limits,
    stored: Vec<VerifiedEvent>,
    subscriptions: BTreeMap<(usize, usize), Vec<Filter>>,
}

impl Model {
    fn publish(
        &mut self,
        event: &VerifiedEvent,
    ) -> Result<(Outcome, BTreeSet<(usize, usize)>), &'static str> {
        let same_address = |stored: &&VerifiedEvent| {
            let addressable = event.kind.retention() == Retention::Addressable;
            stored.pubkey == event.pubkey
                && stored.kind == event.kind
                && (!addressable || stored.identifier() == event.identifier())
        };
        if self.stored.contains(event) {
            return Ok((Outcome::Duplicate, BTreeSet::new()));
        }
        match event.kind.retention() {
            Retention::Ephemeral => {}
            Retention::Regular => self.stored.push(event.clone()),
            Retention::Replaceable | Retention::Addressable => {
                let version = |event: &VerifiedEvent| (event.created_at, Reverse(event.id));
                let present = self.stored.iter().find(same_address).cloned();
                if present.as_ref().is_some_and(|present| version(present) > version(event)) {
                    return Err("invalid");
                }
                self.stored.retain(|stored| Some(stored) != present.as_ref());
                self.stored.push(event.clone());
            }
        }
        let matches = |filters: &Vec<Filter>| filters.iter().any(|filter| filter.matches(event));
        let told: BTreeSet<_> =
            self.subscriptions.iter().filter(|(_, filters)| matches(filters)).map(|(key, _)| *key).collect();
        if event.kind.retention() == Retention::Ephemeral && told.is_empty() && event.kind != Kind(25_050) {
            return Err("mute");
        }
        Ok((Outcome::Accepted, told))
    }

    fn query(&self, filters: &[Filter], limits: &Limits) -> Vec<&VerifiedEvent> {
        let order = |event: &&VerifiedEvent| (Reverse(event.created_at), event.id);
        let mut found = Vec::new();
        for filter in filters {
            let mut matching: Vec<_> = self.stored.iter().filter(|event| filter.matches(event)).collect();
            matching.sort_by_key(order);
            matching.truncate(usize::try_from(limits.stored_events(filter)).unwrap());
            found.extend(matching);
        }
        found.sort_by_key(order);
        found.dedup();
        found
    }
}

/// The engine and its model.
struct Pair {
    relay: Relay<Sqlite>,
    model: Model,
    numbers: [u64; CONNECTIONS],
}

impl Pair {
    fn new() -> Self {
        let limits = Limits { max_subscriptions: 3, default_limit: 6, max_limit: 7, ..Limits::default() };
        let handover = [Kind(5_050)].into_iter().collect();
        // Who is told of private kinds is the subject of other tests.
        let access = Access { private_kinds: OneOf::default(), ..Access::default() };
        let config = RelayConfig { limits: limits.clone(), handover, access, ..RelayConfig::default() };
        let mut pair = Self {
            relay: Relay::open(Sqlite::in_memory().unwrap(), config).unwrap(),
            model: Model { limits, stored: Vec::new(), subscriptions: BTreeMap::new() },
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
        self.relay.handle(NOW, input, &mut effects);
        effects
    }

    /// Says something over a connection, with the checks done here or in the engine, and sorts what is told to whom.
    fn say(
        &mut self,
        connection: usize,
        text: &str,
        checked_before: bool,
    ) -> Vec<(usize, serde_json::Value)> {
        let of = ConnectionId::new(self.numbers[connection]);
        let input = if checked_before {
            Input::Message { connection: of, message: check(text, self.relay.limits(), NOW) }
        } else {
            Input::Text { connection: of, text: text.to_owned() }
        };
        let effects = self.handle(&input);
        self.told(effects)
    }

    fn told(&self, effects: Vec<Effect>) -> Vec<(usize, serde_json::Value)> {
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

    fn take(&mut self, step: Step, checked_before: bool) {
        match step {
            Step::Event(connection, event) => {
                let told = self.say(connection, &format!("[\"EVENT\",{}]", event.json()), checked_before);
                let ((to, answer), heard) = told.split_first().expect("an OK");
                assert_eq!(
                    (*to, &answer[0], &answer[1]),
                    (connection, &"OK".into(), &event.id.to_hex().into())
                );
                self.expect_outcome(&event, answer[2] == true, answer[3].as_str().unwrap(), heard);
            }
            Step::Publish(event) => {
                let mut effects = self.handle(&Input::Publish { ticket: Ticket(1), event: event.clone() });
                let Some(Effect::Published { outcome, .. }) = effects.pop() else { panic!("no outcome") };
                let heard = self.told(effects);
                self.expect_outcome(&event, outcome.is_accepted(), &outcome.to_string(), &heard);
            }
            Step::Request(connection, name, filters) => {
                let texts: String = filters.iter().map(|filter| format!(",{}", json(filter))).collect();
                let told =
                    self.say(connection, &format!("[\"REQ\",{}{texts}]", json(&NAMES[name])), checked_before);
                self.expect_answer(connection, name, filters, &told);
            }
            Step::CloseSubscription(connection, name) => {
                let told =
                    self.say(connection, &format!("[\"CLOSE\",{}]", json(&NAMES[name])), checked_before);
                assert_eq!(told, []);
                self.model.subscriptions.remove(&(connection, name));
            }
            Step::Reconnect(connection) => {
                let number = &mut self.numbers[connection];
                let gone = std::mem::replace(number, *number + 10);
                let number = *number;
                assert_eq!(self.handle(&Input::Close(ConnectionId::new(gone))), []);
                self.open(number);
                self.model.subscriptions.retain(|(of, _), _| *of != connection);
            }
            Step::Nonsense(connection, text) => {
                let told = self.say(connection, &text, checked_before);
                let [(to, answer)] = &told[..] else { panic!("{text}: {told:?}") };
                assert!(*to == connection && (answer[0] == "NOTICE" || answer[0] == "CLOSED"), "{answer}");
            }
            Step::Query(filters) => {
                let mut effects = self.handle(&Input::Query { ticket: Ticket(1), filters: filters.clone() });
                let Some(Effect::Found { events: Ok(found), .. }) = effects.pop() else {
                    panic!("no answer")
                };
                let limits = self.model.limits.for_those_inside();
                let expected = self.model.query(&filters, &limits);
                assert_eq!(found, expected.iter().map(|event| event.json().clone()).collect::<Vec<_>>());
            }
            Step::Alarm => {
                let mut effects = Vec::new();
                self.relay.alarm(NOW, &mut effects);
                assert_eq!(self.told(effects), []);
            }
            Step::Forget => self.relay.forget(NOW),
        }
    }

    fn expect_outcome(
        &mut self,
        event: &VerifiedEvent,
        accepted: bool,
        text: &str,
        heard: &[(usize, serde_json::Value)],
    ) {
        let (prefix, told) = match self.model.publish(event) {
            Ok((outcome, told)) => {
                assert!(accepted, "{text}");
                (if outcome == Outcome::Duplicate { "duplicate" } else { "" }, told)
            }
            Err(prefix) => {
                assert!(!accepted, "{text}");
                (prefix, BTreeSet::new())
            }
        };
        assert_eq!(text.split(": ").next(), Some(prefix), "{text}");
        let mut heard: Vec<_> = heard.iter().map(|(to, message)| (*to, message.clone())).collect();
        let mut expected: Vec<_> = told
            .iter()
            .map(|(to, name)| (*to, serde_json::json!(["EVENT", NAMES[*name], **event])))
            .collect();
        // In which order subscriptions are told is nobody's business.
        heard.sort_by_key(|(to, message)| (*to, message[1].to_string()));
        expected.sort_by_key(|(to, message)| (*to, message[1].to_string()));
        assert_eq!(heard, expected);
    }

    fn expect_answer(
        &mut self,
        connection: usize,
        name: usize,
        filters: Vec<Filter>,
        told: &[(usize, serde_json::Value)],
    ) {
        assert!(told.iter().all(|(to, _)| *to == connection));
        let key = (connection, name);
        let others =
            self.model.subscriptions.keys().filter(|other| other.0 == connection && **other != key).count();
        let refused = filters.is_empty() || others >= self.model.limits.max_subscriptions;
        let ((_, last), events) = told.split_last().expect("an answer");
        let events: Vec<_> = events.iter().map(|(_, message)| message.clone()).collect();
        if refused {
            assert_eq!((&last[0], &last[1]), (&"CLOSED".into(), &NAMES[name].into()));
            assert_eq!(events, [serde_json::Value::Null; 0]);
            self.model.subscriptions.remove(&key);
            return;
        }
        assert_eq!((&last[0], &last[1]), (&"EOSE".into(), &NAMES[name].into()));
        let expected = self.model.query(&filters, &self.model.limits);
        let expected: Vec<_> =
            expected.iter().map(|event| serde_json::json!(["EVENT", NAMES[name], ***event])).collect();
        assert_eq!(events, expected);
        self.model.subscriptions.insert(key, filters);
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
#[allow(clippy::print_stdout, reason = "whoever wants to repeat a run needs its seed")]
fn behaves_as_a_list_of_events_whatever_is_forgotten_between() {
    let seed = std::env::var("RELAY_TEST_SEED").map_or_else(
        |_| {
            let mut seed = [0; 8];
            getrandom::fill(&mut seed).unwrap();
            u64::from_le_bytes(seed)
        },
        |seed| seed.parse().expect("RELAY_TEST_SEED is a number"),
    );
    println!("RELAY_TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let steps = (any::<bool>(), step());
    for _ in 0..8 {
        let mut pair = Pair::new();
        for number in 0..500 {
            let (checked_before, step) = steps.new_tree(&mut runner).unwrap().current();
            println!("{number}: {step:?}");
            pair.take(step, checked_before);
        }
        let everything = vec![Filter::new()];
        pair.take(Step::Query(everything), false);
        assert!(
            pair.model.stored.len() > 50,
            "{} events are too few to prove anything",
            pair.model.stored.len()
        );
    }
}
