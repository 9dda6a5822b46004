//! Tests of the whole relay engine, and the helpers that they share.

#![allow(clippy::arithmetic_side_effects)]

mod admission;
mod authentication;
mod management;
mod read;
mod reconciliation;
mod retention;
mod turns;

use std::time::Duration;

use openagents_host::native::Sqlite;
use openagents_host::sql::Sql;
use openagents_host::{Engine, Kind, Timestamp, VerifiedEvent};
use proptest::prelude::*;

use super::{Effect, Input, Relay, RelayConfig};
use crate::fixtures;
use crate::reason::{Outcome, Reason};
use crate::session::Origin;
use crate::session::{ConnectionId, Ticket};
use openagents_host::nostr::filter::{Filter, OneOf};

const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
const ALICE: ConnectionId = ConnectionId::new(1);
const BOB: ConnectionId = ConnectionId::new(2);

/// A relay, and its effects other than messages.
struct Bench {
    relay: Relay<Sqlite>,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        Self::configured(|_| ())
    }

    /// With this configuration.
    fn configured(change: impl FnOnce(&mut RelayConfig)) -> Self {
        let mut config = RelayConfig {
            handover: [Kind(5_050), Kind(25_050)].into_iter().collect(),
            ..RelayConfig::default()
        };
        change(&mut config);
        let mut bench = Self::empty(config);
        for connection in [ALICE, BOB] {
            bench.open(connection);
        }
        bench
    }

    /// Without connections.
    fn empty(config: RelayConfig) -> Self {
        Self { relay: Relay::open(Sqlite::in_memory().unwrap(), config).unwrap(), now: NOW }
    }

    fn open(&mut self, connection: ConnectionId) {
        let origin = Origin { challenge: "challenge".into(), ..Origin::default() };
        let effects = self.handle(Input::Open { connection, origin });
        assert_eq!(effects, [Effect::SessionChanged(connection)]);
    }

    #[allow(clippy::needless_pass_by_value, reason = "inputs are written where they are handled")]
    fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.relay.handle_once(self.now, input, &mut effects);
        effects
    }

    /// The effects of a message whose event the engine verifies.
    fn text(&mut self, connection: ConnectionId, text: &str) -> Vec<Effect> {
        let message = self.relay.admit(self.now, connection, text);
        self.handle(Input::Message { connection, message })
    }

    /// The effects of a message whose event was verified before.
    fn verified_text(&mut self, connection: ConnectionId, text: &str) -> Vec<Effect> {
        let message = self.relay.admit(self.now, connection, text).verify();
        self.handle(Input::Message { connection, message })
    }

    /// The messages caused by a message, with their connections.
    fn say(&mut self, connection: ConnectionId, text: &str) -> Vec<(ConnectionId, String)> {
        messages(self.text(connection, text))
    }

    fn query(&mut self, filters: Vec<Filter>) -> Result<Vec<String>, Reason> {
        match &self.handle(Input::Query { ticket: Ticket(3), filters })[..] {
            [Effect::Found { ticket: Ticket(3), events }] => {
                events.clone().map(|events| events.iter().map(ToString::to_string).collect())
            }
            effects => panic!("{effects:?}"),
        }
    }

    fn publish(&mut self, connection: ConnectionId, event: &VerifiedEvent) -> Vec<(ConnectionId, String)> {
        self.say(connection, &format!("[\"EVENT\",{}]", event.json()))
    }
}

fn messages(effects: Vec<Effect>) -> Vec<(ConnectionId, String)> {
    let message = |effect| match effect {
        Effect::Send { connection, message } => Some((connection, message.to_json())),
        _ => None,
    };
    effects.into_iter().filter_map(message).collect()
}

fn ok(event: &VerifiedEvent, accepted: bool, text: &str) -> String {
    format!("[\"OK\",\"{}\",{accepted},\"{text}\"]", event.id)
}

fn sent(name: &str, event: &VerifiedEvent) -> String {
    format!("[\"EVENT\",\"{name}\",{}]", event.json())
}

#[test]
fn answers_from_the_store_and_goes_on_with_what_comes() {
    let mut bench = Bench::new();
    let [stored, live] = [1, 2].map(|at| fixtures::signed(1, at, &[]));
    assert_eq!(bench.publish(ALICE, &stored), [(ALICE, ok(&stored, true, ""))]);
    let request = r#"["REQ","s",{"kinds":[1]},{"kinds":[1,2]}]"#;
    assert_eq!(
        bench.say(BOB, request),
        [(BOB, sent("s", &stored)), (BOB, r#"["EOSE","s",["finish"]]"#.into())]
    );
    assert_eq!(bench.publish(ALICE, &live), [(ALICE, ok(&live, true, "")), (BOB, sent("s", &live))]);
    let again = ok(&live, true, "duplicate: already have this event");
    assert_eq!(bench.publish(ALICE, &live), [(ALICE, again)]);
    assert!(bench.say(BOB, r#"["CLOSE","s"]"#).is_empty());
    let after = fixtures::signed(1, 3, &[]);
    assert_eq!(bench.publish(ALICE, &after), [(ALICE, ok(&after, true, ""))]);
}

#[test]
fn a_limit_of_zero_brings_only_what_comes() {
    let mut bench = Bench::new();
    let [stored, live] = [1, 2].map(|at| fixtures::signed(1, at, &[]));
    bench.publish(ALICE, &stored);
    assert_eq!(bench.say(BOB, r#"["REQ","s",{"limit":0}]"#), [(BOB, r#"["EOSE","s"]"#.into())]);
    assert_eq!(bench.publish(ALICE, &live).last().unwrap(), &(BOB, sent("s", &live)));
}

#[test]
fn a_request_of_the_same_name_replaces_the_subscription_and_a_refused_one_ends_it() {
    let mut bench = Bench::new();
    bench.say(BOB, r#"["REQ","s",{"kinds":[1]}]"#);
    bench.say(BOB, r#"["REQ","s",{"kinds":[7]}]"#);
    let [one, seven, later] = [(1, 1), (7, 1), (7, 2)].map(|(kind, at)| fixtures::signed(kind, at, &[]));
    assert_eq!(bench.publish(ALICE, &one).len(), 1);
    assert_eq!(bench.publish(ALICE, &seven).len(), 2);
    let refused = bench.say(BOB, r#"["REQ","s",{"language":"x"}]"#);
    assert!(refused[0].1.starts_with(r#"["CLOSED","s","unsupported: "#));
    assert_eq!(bench.publish(ALICE, &later).len(), 1);
}

#[test]
fn each_connection_has_its_own_names() {
    let mut bench = Bench::new();
    bench.say(ALICE, r#"["REQ","s",{"kinds":[1]}]"#);
    bench.say(BOB, r#"["REQ","s",{"kinds":[1]}]"#);
    bench.say(ALICE, r#"["CLOSE","s"]"#);
    let event = fixtures::signed(1, 1, &[]);
    assert_eq!(bench.publish(ALICE, &event), [(ALICE, ok(&event, true, "")), (BOB, sent("s", &event))]);
    bench.handle(Input::Close(BOB));
    assert_eq!(bench.publish(ALICE, &fixtures::signed(1, 2, &[])).len(), 1);
    assert!(bench.say(BOB, r#"["REQ","s",{}]"#).is_empty(), "the connection is closed");
}

#[test]
fn an_ephemeral_event_is_heard_or_muted_and_never_stored() {
    let mut bench = Bench::new();
    let event = fixtures::signed(20_001, 1, &[]);
    let muted = ok(&event, false, "mute: nobody was listening to this ephemeral event");
    assert_eq!(bench.publish(ALICE, &event), [(ALICE, muted)]);
    bench.say(BOB, r#"["REQ","s",{"kinds":[20001]}]"#);
    assert_eq!(bench.publish(ALICE, &event), [(ALICE, ok(&event, true, "")), (BOB, sent("s", &event))]);
    assert_eq!(bench.say(BOB, r#"["REQ","t",{}]"#), [(BOB, r#"["EOSE","t",["finish"]]"#.into())]);
}

#[test]
fn expired_events_are_removed_by_the_alarm() {
    let mut bench = Bench::new();
    let second = NOW.as_seconds();
    let expiration = (second + 10).to_string();
    bench.publish(ALICE, &fixtures::signed(1, 1, &[&["expiration", &expiration]]));
    let stored = |bench: &Bench| bench.relay.store().statistics(1).unwrap().events;
    let ring = |bench: &mut Bench| {
        let due = bench.relay.next_alarm().unwrap();
        bench.now = bench.now.max(due);
        let mut effects = Vec::new();
        bench.relay.alarm(bench.now, &mut effects);
        assert_eq!(effects, []);
    };
    assert_eq!(bench.relay.next_alarm(), Some(NOW + Duration::from_secs(70)));
    bench.relay.forget(NOW);
    ring(&mut bench);
    assert_eq!((stored(&bench), bench.relay.next_alarm()), (0, None));

    for number in 0..700 {
        bench.publish(ALICE, &fixtures::signed(1, 2, &[&["n", &number.to_string()]]));
    }
    bench.publish(ALICE, &fixtures::signed(62, second, &[&["relay", "ALL_RELAYS"]]));
    assert_eq!(bench.query(vec![Filter::new()]).unwrap().len(), 1);
    for left in [201, 1] {
        assert!(bench.relay.next_alarm().is_some_and(|due| due <= bench.now));
        ring(&mut bench);
        assert_eq!(stored(&bench), left);
        bench.relay.forget(NOW);
    }
    while bench.relay.next_alarm().is_some() {
        ring(&mut bench);
    }
}

#[test]
fn an_older_version_is_refused_with_the_reason() {
    let mut bench = Bench::new();
    let [old, new] = [1, 2].map(|at| fixtures::signed(10_002, at, &[]));
    bench.publish(ALICE, &new);
    let answer = &bench.publish(ALICE, &old)[0].1;
    assert!(answer.contains("false,\"invalid: a newer version"), "{answer}");
}

#[test]
fn hands_over_what_was_accepted_until_it_is_delivered() {
    let mut bench = Bench::new();
    let hand_over = |effects: Vec<Effect>| {
        let handed = |effect| if let Effect::HandOver(event) = effect { Some(event) } else { None };
        effects.into_iter().filter_map(handed).collect::<Vec<_>>()
    };
    let [stored, ephemeral] = [5_050, 25_050].map(|kind| fixtures::signed(kind, 1, &[]));
    for event in [&stored, &ephemeral] {
        let text = format!("[\"EVENT\",{}]", event.json());
        let effects = bench.text(ALICE, &text);
        assert_eq!(messages(effects.clone()), [(ALICE, ok(event, true, ""))]);
        assert_eq!(hand_over(effects), std::slice::from_ref(event));
    }
    let text = format!("[\"EVENT\",{}]", stored.json());
    assert!(hand_over(bench.verified_text(ALICE, &text)).is_empty());
    for forget in [false, true] {
        if forget {
            bench.relay.forget(Timestamp::EPOCH);
        }
        let due = bench.relay.next_alarm().unwrap();
        assert!(due > bench.now);
        bench.now = due;
        let mut effects = Vec::new();
        bench.relay.alarm(bench.now, &mut effects);
        let mut handed = hand_over(effects);
        handed.sort_by_key(|event| event.kind);
        assert_eq!(handed, [stored.clone(), ephemeral.clone()]);
    }
    assert!(bench.handle(Input::Delivered(stored.id)).is_empty());
    assert!(bench.handle(Input::Delivered(ephemeral.id)).is_empty());
    let mut effects = Vec::new();
    bench.relay.alarm(bench.now + Duration::from_secs(100), &mut effects);
    assert_eq!((effects, bench.relay.next_alarm()), (vec![], None));
}

#[test]
fn hands_over_at_once_what_the_last_process_left() {
    let mut bench = Bench::new();
    let event = fixtures::signed(5_050, 1, &[]);
    bench.text(ALICE, &format!("[\"EVENT\",{}]", event.json()));
    bench.relay.forget(bench.now);
    assert!(bench.relay.next_alarm().is_some_and(|due| due > bench.now), "a hibernation is no new life");
    bench.relay.retry_handovers_now(bench.now).unwrap();
    assert_eq!(bench.relay.next_alarm(), Some(bench.now));
    let mut effects = Vec::new();
    bench.relay.alarm(bench.now, &mut effects);
    assert_eq!(effects, [Effect::HandOver(event)]);
}

#[test]
fn an_agent_learns_what_became_of_its_event() {
    let mut bench = Bench::new();
    bench.say(BOB, r#"["REQ","s",{"kinds":[6050]}]"#);
    let event = fixtures::signed(6_050, 1, &[]);
    let mut publish =
        |event: &VerifiedEvent| bench.handle(Input::Publish { ticket: Ticket(7), event: event.clone() });
    let effects = publish(&event);
    assert_eq!(effects.last().unwrap(), &Effect::Published { ticket: Ticket(7), outcome: Outcome::Accepted });
    assert_eq!(messages(effects), [(BOB, sent("s", &event))]);
    assert_eq!(publish(&event), [Effect::Published { ticket: Ticket(7), outcome: Outcome::Duplicate }]);
}

#[test]
fn a_query_returns_more_than_a_request_and_does_not_subscribe() {
    let mut bench = Bench::configured(|config| config.limits.max_limit = 2);
    let events = [1, 2, 3].map(|at| fixtures::signed(1, at, &[]));
    events.iter().for_each(|event| drop(bench.publish(ALICE, event)));
    let newest_first: Vec<String> = events.iter().rev().map(|event| event.json().to_string()).collect();
    assert_eq!(bench.say(BOB, r#"["REQ","s",{}]"#).len(), 2 + 1);
    bench.say(BOB, r#"["CLOSE","s"]"#);
    assert_eq!(bench.query(vec![Filter::new()]).unwrap(), newest_first);
    assert_eq!(bench.query(vec![Filter::new().limit(u64::MAX)]).unwrap(), newest_first);
    assert_eq!(bench.query(vec![Filter::new().limit(2)]).unwrap(), newest_first[..2]);
    assert_eq!(bench.query(vec![Filter::new().kinds([7])]).unwrap(), [""; 0]);
    assert_eq!(bench.query(vec![]).unwrap(), [""; 0]);
    assert_eq!(bench.publish(ALICE, &fixtures::signed(1, 4, &[])).len(), 1);
    let limits = bench.relay.limits().for_internal_queries();
    let of = |filter: Filter| limits.stored_events(&filter);
    assert_eq!([of(Filter::new()), of(Filter::new().limit(9_000))], [5_000, 5_000]);
}

#[test]
fn a_query_of_too_many_filters_is_refused() {
    let mut bench = Bench::new();
    let most = bench.relay.limits().max_filters;
    assert!(bench.query(vec![Filter::new(); most]).is_ok());
    let refused = bench.query(vec![Filter::new(); most + 1]);
    assert_eq!(refused, Err(Reason::invalid("a query can have at most 16 filters")));
}

#[test]
fn hands_over_deletions_that_may_be_of_what_was_handed_over() {
    let mut bench = Bench::configured(|config| config.handover.deletions_of = Some(5_000..=5_999));
    let id = "ab".repeat(32);
    let [wanted, other] = ["5050", "1"].map(|kind| fixtures::signed(5, 1, &[&["e", &id], &["k", kind]]));
    for (event, handed) in [(wanted, true), (other, false)] {
        let effects = bench.handle(Input::Publish { ticket: Ticket(1), event: event.clone() });
        assert_eq!(effects.contains(&Effect::HandOver(event)), handed);
        assert!(effects.contains(&Effect::Published { ticket: Ticket(1), outcome: Outcome::Accepted }));
    }
}

#[test]
fn hands_over_requests_to_vanish_that_are_addressed_to_it() {
    let mut bench = Bench::configured(|config| config.handover.kinds = [Kind::VANISH].into_iter().collect());
    for (relay, handed) in [("wss://elsewhere.example", false), ("ALL_RELAYS", true)] {
        let event = fixtures::signed(62, 1, &[&["relay", relay]]);
        let effects = bench.handle(Input::Publish { ticket: Ticket(1), event: event.clone() });
        assert_eq!(effects.contains(&Effect::HandOver(event)), handed, "{relay}");
        assert!(effects.contains(&Effect::Published { ticket: Ticket(1), outcome: Outcome::Accepted }));
    }
}

#[test]
fn a_database_failure_is_answered_without_its_message() {
    let mut bench = Bench::new();
    bench.relay.sql().batch("DROP TABLE event; DROP TABLE handover").unwrap();
    let event = fixtures::signed(5_050, 1, &[]);
    let text = format!("[\"EVENT\",{}]", event.json());
    let effects = bench.text(ALICE, &text);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Failed(_))));
    let failed = ok(&event, false, "error: the relay could not reach its storage; try again");
    assert_eq!(messages(effects), [(ALICE, failed)]);
    let closed = r#"["CLOSED","s","error: the relay could not reach its storage; try again"]"#;
    assert_eq!(bench.say(ALICE, r#"["REQ","s",{}]"#), [(ALICE, closed.into())]);
    assert_eq!(bench.relay.saved(ALICE), r#"{"c":{"c":"challenge"},"s":{}}"#);
    let effects = bench.handle(Input::Query { ticket: Ticket(3), filters: vec![Filter::new()] });
    let found = Effect::Found { ticket: Ticket(3), events: Err(crate::reason::storage_failed()) };
    assert!(matches!(&effects[..], [Effect::Failed(_), last] if *last == found), "{effects:?}");
    let mut effects = Vec::new();
    bench.relay.alarm(bench.now, &mut effects);
    assert!(matches!(effects[..], [Effect::Failed(_)]) && bench.relay.next_alarm() > Some(bench.now));
}

#[test]
fn inputs_can_be_repeated_after_their_transaction_was_undone() {
    let mut bench = Bench::new();
    let event = fixtures::signed(5_050, 1, &[]);
    let event_text = format!("[\"EVENT\",{}]", event.json());
    let texts = [(BOB, r#"["REQ","s",{"kinds":[5050]}]"#), (ALICE, &event_text), (BOB, r#"["CLOSE","s"]"#)];
    let inputs = texts.map(|(connection, text)| {
        let message = bench.relay.admit(NOW, connection, text);
        Input::Message { connection, message }
    });
    let sql = bench.relay.sql().clone();
    let mut first = Vec::new();
    let undone: Result<(), openagents_host::SqlError> = sql.transaction(|| {
        inputs.iter().for_each(|input| bench.relay.handle(NOW, input, &mut first));
        Err(openagents_host::SqlError::Statement("the disk is full".into()))
    });
    assert!(undone.is_err());
    bench.relay.rolled_back();
    assert_eq!(bench.relay.next_alarm(), None);
    let again: Vec<Effect> = inputs.into_iter().flat_map(|input| bench.handle(input)).collect();
    assert_eq!(again, first);
    assert!(bench.relay.next_alarm().is_some());
}

#[derive(Clone, Debug)]
enum ScriptStep {
    Event(VerifiedEvent),
    Ephemeral(VerifiedEvent),
    Request(usize, Vec<Filter>),
    Close(usize),
    Text(String),
}

fn step() -> impl Strategy<Value = ScriptStep> {
    prop_oneof![
        6 => fixtures::event().prop_map(ScriptStep::Event),
        1 => (1..9_u64).prop_map(|at| ScriptStep::Ephemeral(fixtures::signed(20_001, at, &[]))),
        3 => (0..3_usize, prop::collection::vec(fixtures::filter(), 0..3)).prop_map(|(name, filters)| ScriptStep::Request(name, filters)),
        1 => (0..3_usize).prop_map(ScriptStep::Close),
        1 => r#"\["(EVENT|REQ|CLOSE)",[\[\]{}":,#a-z0-9 ]{0,20}"#.prop_map(ScriptStep::Text),
    ]
}

impl ScriptStep {
    fn text(&self) -> String {
        let name = |number: &usize| ["a", "b", "c"][*number];
        match self {
            Self::Event(event) | Self::Ephemeral(event) => format!("[\"EVENT\",{}]", event.json()),
            Self::Request(number, filters) => {
                let filters: String = filters
                    .iter()
                    .map(|filter| format!(",{}", serde_json::to_string(filter).unwrap()))
                    .collect();
                format!("[\"REQ\",\"{}\"{filters}]", name(number))
            }
            Self::Close(number) => format!("[\"CLOSE\",\"{}\"]", name(number)),
            Self::Text(text) => text.clone(),
        }
    }
}

proptest! {
    #![proptest_config(fixtures::random_cases(64))]

    #[test]
    fn a_query_brings_what_a_request_brings(
        events in fixtures::events(0..20), filters in prop::collection::vec(fixtures::filter(), 1..4),
    ) {
        // Queries from inside the process also return private events.
        let mut bench = Bench::configured(|config| config.access.private_kinds = OneOf::default());
        for event in &events {
            bench.publish(ALICE, event);
        }
        let texts: String = filters.iter().map(|filter| format!(",{}", serde_json::to_string(filter).unwrap())).collect();
        let mut answer = bench.say(BOB, &format!("[\"REQ\",\"s\"{texts}]"));
        prop_assert!(answer.pop().is_some_and(|(_, end)| end.starts_with("[\"EOSE\",\"s\"")));
        let found = bench.query(filters).unwrap();
        let asked: Vec<String> = found.iter().map(|event| format!("[\"EVENT\",\"s\",{event}]")).collect();
        prop_assert_eq!(asked, answer.into_iter().map(|(_, text)| text).collect::<Vec<_>>());
    }

    /// One relay never forgets, the second forgets after every message, the third gets messages that were verified
    /// before.
    #[test]
    fn forgetting_and_checking_elsewhere_change_nothing(steps in prop::collection::vec((any::<bool>(), step()), 1..24)) {
        let mut benches = [Bench::new(), Bench::new(), Bench::new()];
        for (from_bob, step) in steps {
            let connection = if from_bob { BOB } else { ALICE };
            let text = step.text();
            let mut first = benches[0].say(connection, &text);
            let mut second = benches[1].say(connection, &text);
            benches[1].relay.forget(Timestamp::EPOCH);
            let mut third = messages(benches[2].verified_text(connection, &text));
            if text.starts_with("[\"EVENT\"") {
                // The order of subscriptions is not specified.
                [&mut first, &mut second, &mut third].into_iter().for_each(|told| told.get_mut(1..).unwrap_or_default().sort());
            }
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(&first, &third);
            let answers = |verb: &str| first.iter().filter(|(to, text)| *to == connection && text.starts_with(&format!("[\"{verb}\""))).count();
            let expected = match step {
                ScriptStep::Event(_) | ScriptStep::Ephemeral(_) => answers("OK") == 1,
                ScriptStep::Request(..) => answers("EOSE") + answers("CLOSED") == 1,
                ScriptStep::Close(_) => first.is_empty(),
                ScriptStep::Text(_) => true,
            };
            prop_assert!(expected, "{:?}", first);
        }
    }
}
